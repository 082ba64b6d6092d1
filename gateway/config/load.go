package config

import (
	"os"

	"overtake/classifier/strictyaml"
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
	source *strictyaml.Source
	// unreadable means that there is nothing to validate.
	unreadable bool
}

func newDraft(file string) *draft {
	return &draft{config: &Config{}, source: strictyaml.NewSource(file)}
}

func readFile(path string, readFile func(string) ([]byte, error), lookupEnv func(string) (string, bool)) *draft {
	data, err := readFile(path)
	if err != nil {
		d := newDraft(path)
		d.source.Problem("", "", "can't be read: %s", cause(err))
		d.unreadable = true
		return d
	}
	return read(path, data, lookupEnv)
}

// read decodes a file; what it does not say is left zero.
func read(name string, data []byte, lookupEnv func(string) (string, bool)) *draft {
	c := &Config{}
	src := strictyaml.Decode(name, data, c, lookupEnv)
	return &draft{config: c, source: src, unreadable: src.Unreadable()}
}

// finish fills in the defaults and validates.
func (d *draft) finish() (*Config, error) {
	c, src := d.config, d.source
	if !d.unreadable {
		fillDefaults(c, src)
		validate(c, src)
		validator{c, src}.unavailable()
	}
	if problems := src.Problems(); len(problems) > 0 {
		return nil, problems
	}
	c.Warnings, c.source = src.Warnings(), src
	return c, nil
}

// Redacted returns the configuration in effect as YAML, with all defaults. A
// value that was made from environment variables appears as it is written in
// the file, and passwords in URLs are replaced. What is left is a valid file.
func (c *Config) Redacted() ([]byte, error) {
	return c.source.Encode(*c)
}
