package strictyaml

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// Source knows where the values of a file came from, and collects what is wrong
// with them. Values are named by path: "rules[2].class". Its methods that record
// or change something must not run together with others.
type Source struct {
	file string
	// places holds every value that was given, in the file or by a setting.
	places map[string]place
	// written holds values that were made from variables, as they are written in
	// the file; what they were made into may be secret.
	written map[string]string
	// broken holds values that could not be decoded. Nothing more is said about
	// them or about what they contain.
	broken map[string]bool
	// unparsed says that the file has no tree.
	unparsed bool
	problems Problems
	warnings Problems
}

// place is where a value was given. line is 0 outside of a file.
type place struct {
	file         string
	line, column int
}

// NewSource returns the source of a file that gives nothing. file may be "".
func NewSource(file string) *Source {
	return &Source{
		file:    file,
		places:  make(map[string]place),
		written: make(map[string]string),
		broken:  make(map[string]bool),
	}
}

// Problems returns what is wrong, sorted by position; it is empty if nothing is.
func (s *Source) Problems() Problems { return sorted(s.problems) }

// Warnings returns what was recorded by Warn, sorted by position.
func (s *Source) Warnings() Problems { return sorted(s.warnings) }

func sorted(ps Problems) Problems {
	ps = slices.Clone(ps)
	ps.Sort()
	return ps
}

// Unreadable says whether the file as a whole could not be decoded, so that there
// is nothing to check.
func (s *Source) Unreadable() bool { return s.unparsed || s.broken[""] }

// Given says whether the value was written, whatever it is.
func (s *Source) Given(path string) bool {
	_, ok := s.places[path]
	return ok
}

// Place returns where path or the nearest part around it was given. line is 0
// outside of a file.
func (s *Source) Place(path string) (file string, line, column int) {
	at := s.at(path)
	return at.file, at.line, at.column
}

func (s *Source) at(path string) place {
	for p := path; p != ""; p = parent(p) {
		if at, ok := s.places[p]; ok {
			return at
		}
	}
	return place{file: s.file}
}

// Replace notes that origin, such as a flag, gave the value at path anew, and
// forgets what was known about it.
func (s *Source) Replace(path, origin string) {
	s.places[path] = place{file: origin}
	delete(s.broken, path)
	delete(s.written, path)
}

// Move notes that the value at from, with all that it contains, is now at to, in
// the place of another.
func (s *Source) Move(from, to string) {
	if from == to {
		return
	}
	moveBelow(s.places, from, to)
	moveBelow(s.written, from, to)
}

// moveBelow renames from, and what lies below it, to to, in the place of what was
// there.
func moveBelow[T any](m map[string]T, from, to string) {
	maps.DeleteFunc(m, func(path string, _ T) bool { return path == to || strings.HasPrefix(path, to+".") })
	for path, value := range maps.Clone(m) {
		if rest, ok := strings.CutPrefix(path, from); ok && (rest == "" || rest[0] == '.') {
			delete(m, path)
			m[to+rest] = value
		}
	}
}

// Broken says whether the value at path or a part around it could not be decoded.
func (s *Source) Broken(path string) bool {
	given := false
	for p := path; p != ""; p = parent(p) {
		if s.broken[p] {
			return true
		}
		given = given || s.Given(p)
	}
	return s.Unreadable() && !given
}

// AnyBroken says whether anything at or below path could not be decoded.
func (s *Source) AnyBroken(path string) bool { return anyBelow(s.broken, path) }

// AnyReplaced says whether anything at or below path was made from variables.
func (s *Source) AnyReplaced(path string) bool { return anyBelow(s.written, path) }

func anyBelow[T any](m map[string]T, path string) bool {
	for p := range m {
		rest, below := strings.CutPrefix(p, path)
		if below && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return true
		}
	}
	return false
}

// breaks marks the value at path as not decoded and says why.
func (s *Source) breaks(path string, at place, text, hint string) {
	s.broken[path] = true
	s.report(path, at, text, hint)
}

// Problem records what is wrong with the value at path, at its place or that of
// the nearest part around it. hint says what to write instead; it may be empty.
// Nothing is recorded where the value could not be decoded: that was said.
func (s *Source) Problem(path, hint, format string, args ...any) {
	if !s.Broken(path) {
		s.report(path, s.at(path), fmt.Sprintf(format, args...), hint)
	}
}

// Wrong records a problem of the form: "value" is not a mode; want fixed. The
// value is shown as by [Source.Shown].
func (s *Source) Wrong(path, value, what, hint string) {
	s.Problem(path, hint, "%q %s", s.Shown(path, value), what)
}

// WrongOrigin records what is wrong with a setting that has no path in the file;
// origin is what gave it, such as a flag.
func (s *Source) WrongOrigin(origin, hint, format string, args ...any) {
	s.report("", place{file: origin}, fmt.Sprintf(format, args...), hint)
}

// Warn records that the value at path is accepted but has no effect, or not for long.
func (s *Source) Warn(path, format string, args ...any) {
	at := s.at(path)
	s.warnings = append(s.warnings, Problem{File: at.file, Line: at.line, Column: at.column, Path: path, Text: fmt.Sprintf(format, args...)})
}

func (s *Source) report(path string, at place, text, hint string) {
	s.problems = append(s.problems, Problem{File: at.file, Line: at.line, Column: at.column, Path: path, Text: text, Hint: hint})
}

// Shown is value as it may be printed: without what variables brought in, and
// without passwords of URLs.
func (s *Source) Shown(path, value string) string {
	if written, ok := s.written[path]; ok {
		return written
	}
	return WithoutPassword(value)
}

// IsFile says whether a value that is a file or the name of something that comes
// with the program is a file: it has a '/' or a '.' in it, as names have not.
func IsFile(nameOrFile string) bool { return strings.ContainsAny(nameOrFile, `/.\`) }

// SuggestNameOrFile is the hint for a value that is no file by [IsFile] and not one of
// names: the file that it can be meant for, if there is one, or else the nearest name,
// and how to write a file.
func SuggestNameOrFile(name string, names []string) string {
	for _, file := range []string{name, name + ".yaml", name + ".yml"} {
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			return "did you mean the file ./" + file + "?"
		}
	}
	return Suggest(name, names) + "; a file has a '/' or a '.' in its name: ./" + name + ".yaml"
}

// Join appends a key to a path: "a" and "b" are "a.b".
func Join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// Item appends an index to a path: "a" and 0 are "a[0]".
func Item(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// parent removes the last key or index of a path; of a single key, "".
func parent(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}

// SetDefault sets a value that was not given. One that was written is kept, even
// a zero.
func SetDefault[T any](s *Source, path string, field *T, value T) {
	if !s.Given(path) {
		*field = value
	}
}
