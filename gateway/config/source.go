package config

import (
	"fmt"
	"maps"
	"strings"
)

// source knows where the values of a configuration came from, and collects
// what is wrong with them. Values are named by path.
type source struct {
	file string
	// places holds every value that was given, in the file or by a setting.
	places map[string]place
	// written holds values that were made from environment variables, as they
	// are written in the file; what they were made into may be secret.
	written map[string]string
	// broken holds values that could not be decoded. Nothing more is said about
	// them or about what they contain.
	broken   map[string]bool
	problems Problems
	warnings Problems
}

// place is where a value was given. line is 0 outside of a file.
type place struct {
	file         string
	line, column int
}

func newSource(file string) *source {
	return &source{
		file:    file,
		places:  make(map[string]place),
		written: make(map[string]string),
		broken:  make(map[string]bool),
	}
}

// given says whether the value was written, whatever it is.
func (s *source) given(path string) bool {
	_, ok := s.places[path]
	return ok
}

// at finds the place of path or of the nearest part around it that was given.
func (s *source) at(path string) place {
	for p := path; p != ""; p = parent(p) {
		if at, ok := s.places[p]; ok {
			return at
		}
	}
	return place{file: s.file}
}

// move notes that the value at from, with all that it contains, is now at to, in
// the place of another.
func (s *source) move(from, to string) {
	if from == to {
		return
	}
	maps.DeleteFunc(s.places, func(path string, _ place) bool { return path == to || strings.HasPrefix(path, to+".") })
	for path, at := range maps.Clone(s.places) {
		if rest, ok := strings.CutPrefix(path, from); ok && (rest == "" || rest[0] == '.') {
			delete(s.places, path)
			s.places[to+rest] = at
		}
	}
}

// isBroken says whether the value at path or a part around it could not be
// decoded.
func (s *source) isBroken(path string) bool {
	for p := path; p != ""; p = parent(p) {
		if s.broken[p] {
			return true
		}
	}
	return false
}

// breaks marks the value at path as not decoded and says why.
func (s *source) breaks(path string, at place, text, hint string) {
	s.broken[path] = true
	s.report(path, at, text, hint)
}

// problem records what is wrong with the value at path.
func (s *source) problem(path, hint, format string, args ...any) {
	if !s.isBroken(path) {
		s.report(path, s.at(path), fmt.Sprintf(format, args...), hint)
	}
}

// wrong records a problem of the form: "value" is not a mode; want fixed.
func (s *source) wrong(path, value, what, hint string) {
	s.problem(path, hint, "%q %s", s.shown(path, value), what)
}

// warn records that the value at path is accepted but has no effect.
func (s *source) warn(path, format string, args ...any) {
	at := s.at(path)
	s.warnings = append(s.warnings, Problem{File: at.file, Line: at.line, Column: at.column, Path: path, Text: fmt.Sprintf(format, args...)})
}

func (s *source) report(path string, at place, text, hint string) {
	s.problems = append(s.problems, Problem{File: at.file, Line: at.line, Column: at.column, Path: path, Text: text, Hint: hint})
}

// shown is value as it may be printed: without what environment variables
// brought in, and without passwords.
func (s *source) shown(path, value string) string {
	if written, ok := s.written[path]; ok {
		return written
	}
	return withoutPassword(value)
}

// join appends a key to a path.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// item appends an index to a path.
func item(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// parent removes the last key or index of a path; of a single key, "".
func parent(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}

// setDefault sets a value that was not given.
func setDefault[T any](s *source, path string, field *T, value T) {
	if !s.given(path) {
		*field = value
	}
}
