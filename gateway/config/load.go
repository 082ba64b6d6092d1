package config

import (
	"maps"
	"os"
	"reflect"
	"slices"

	"github.com/goccy/go-yaml/ast"
)

// Load reads the configuration file at path. lookupEnv finds the variables of
// ${NAME}; os.LookupEnv is the usual one. Every error is [Problems]: all that
// are wrong, by position.
func Load(path string, lookupEnv func(string) (string, bool)) (*Config, error) {
	d := readFile(path, os.ReadFile, lookupEnv)
	return d.finish()
}

// Parse is [Load] for a file that was already read; name is for problems.
func Parse(name string, data []byte, lookupEnv func(string) (string, bool)) (*Config, error) {
	d := read(name, data, lookupEnv)
	return d.finish()
}

// Default returns the configuration without a file, in front of one upstream
// that has the URLs as its servers.
func Default(upstreams ...string) (*Config, error) {
	d := newDraft("")
	d.overlay(Process{Upstream: upstreams}, Process{}, gatewayFlags)
	return d.finish()
}

// draft is a configuration in the making.
type draft struct {
	config *Config
	source *source
	// unreadable means that there is nothing to validate.
	unreadable bool
}

func newDraft(file string) *draft {
	return &draft{config: &Config{}, source: newSource(file)}
}

func readFile(path string, readFile func(string) ([]byte, error), lookupEnv func(string) (string, bool)) *draft {
	data, err := readFile(path)
	if err != nil {
		d := newDraft(path)
		d.source.report("", place{file: path}, "can't be read: "+cause(err), "")
		d.unreadable = true
		return d
	}
	return read(path, data, lookupEnv)
}

// read decodes a file; what it does not say is left zero.
func read(name string, data []byte, lookupEnv func(string) (string, bool)) *draft {
	d := newDraft(name)
	root, ok := parseTree(d.source, data)
	if !ok {
		d.unreadable = true
		return d
	}
	if root != nil {
		decoder := &decoder{
			src:       d.source,
			lookupEnv: lookupEnv,
			anchors:   make(map[string]ast.Node),
			open:      make(map[string]bool),
		}
		decoder.value(root, reflect.ValueOf(d.config).Elem(), "", nil)
	}
	return d
}

// finish fills in the defaults and validates.
func (d *draft) finish() (*Config, error) {
	c, src := d.config, d.source
	if !d.unreadable && !src.broken[""] {
		fillDefaults(c, src)
		validate(c, src)
		validator{c, src}.unavailable()
	}
	if len(src.problems) > 0 {
		src.problems.sort()
		return nil, src.problems
	}
	Problems(src.warnings).sort()
	c.Warnings = slices.Clip(src.warnings)
	c.written, c.source = maps.Clone(src.written), src
	return c, nil
}
