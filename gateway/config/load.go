package config

import (
	"errors"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"overtake/classifier/strictyaml"
)

// Load reads the configuration file at path. lookupEnv finds the variables of
// ${NAME}; os.LookupEnv is the usual one. Every error is [Problems]: all that
// are wrong, by position.
func Load(path string, lookupEnv func(string) (string, bool)) (*Config, error) {
	d := readFile(path, os.ReadFile, lookupEnv)
	return d.finish()
}

// Check is [Load] with what the environment gives to every process that reads the
// file: the admin token.
func Check(path string, environment Process, lookupEnv func(string) (string, bool)) (*Config, error) {
	d := readFile(path, os.ReadFile, lookupEnv)
	d.overlay(Process{}, Process{AdminToken: environment.AdminToken}, gatewayFlags)
	return d.finish()
}

// Parse is [Load] for a file that was already read; name is for problems.
func Parse(name string, data []byte, lookupEnv func(string) (string, bool)) (*Config, error) {
	d := read(name, data, lookupEnv)
	return d.finish()
}

// LoadQueues reads what is needed to look at queues: Brokers, Queues, and the names of
// the Classes; the other parts of what it returns are empty. So the queues can be
// steered while the file has a mistake elsewhere.
//
// The rule: every mistake in brokers, queues (but their deliver, which is the gateway's
// alone) and the names of classes is an error, and so is a file that can't be read. A
// key that nobody knows is one if it may be one of those misspelt: if none is more like
// it, or if it is like no key at all, and the file lacks one of the three. All others are
// returned as elsewhere. The error is [Problems].
func LoadQueues(path string, lookupEnv func(string) (string, bool)) (c *Config, elsewhere strictyaml.Problems, err error) {
	return readFile(path, os.ReadFile, lookupEnv).queues()
}

// LoadRequests reads what is needed to say what becomes of a request, such as its class
// and its route: all parts but those in asideRequests, in which no decision about a
// request looks. So it can be asked without the secrets that only the gateway has.
//
// The mistakes in those parts are returned as elsewhere; c has them as far as they could
// be read. All others are the error, which is [Problems].
func LoadRequests(path string, lookupEnv func(string) (string, bool)) (c *Config, elsewhere strictyaml.Problems, err error) {
	return readFile(path, os.ReadFile, lookupEnv).requests()
}

// asideRequests are the keys of the file that requests have nothing to do with.
var asideRequests = []string{"admin", "admin_token", "admin_hosts", "brokers", "relays", "tracing", "access_log", "drain_timeout"}

// requests is [LoadRequests] of a draft.
func (d *draft) requests() (*Config, strictyaml.Problems, error) {
	d.complete()
	var problems, elsewhere strictyaml.Problems
	for _, p := range d.source.Problems() {
		if d.unreadable || !slices.Contains(asideRequests, topOf(p.Path)) {
			problems = append(problems, p)
		} else {
			elsewhere = append(elsewhere, p)
		}
	}
	if len(problems) > 0 {
		return nil, nil, problems
	}
	c := d.config
	c.Warnings, c.source = d.source.Warnings(), d.source
	return c, elsewhere, nil
}

// queues is [LoadQueues] of a draft.
func (d *draft) queues() (*Config, strictyaml.Problems, error) {
	missing := d.missing() // before there are defaults
	d.complete()
	var problems, elsewhere strictyaml.Problems
	for _, p := range d.source.Problems() {
		near, known := lookUp[Config](topOf(p.Path))
		switch {
		case d.unreadable || isAboutQueues(p.Path):
			problems = append(problems, p)
		case missing != "" && !known && len(near) == 0:
			p.Hint += "; the file has no " + missing + ", so this may be meant for them"
			problems = append(problems, p)
		default:
			elsewhere = append(elsewhere, p)
		}
	}
	if len(problems) > 0 {
		return nil, nil, problems
	}
	c := &Config{Brokers: d.config.Brokers, Queues: d.config.Queues, source: d.source}
	for _, class := range d.config.Classes {
		c.Classes = append(c.Classes, Class{Name: class.Name})
	}
	return c, elsewhere, nil
}

var (
	// aboutQueues are the paths whose mistakes matter to who looks at queues;
	// aboutDelivery are those below them that do not.
	aboutQueues   = regexp.MustCompile(`^(brokers|queues)([.\[]|$)|^classes(\[\d+\](\.name)?)?$`)
	aboutDelivery = regexp.MustCompile(`^queues\.[a-z0-9-]+\.deliver([.\[]|$)`)
	ofClass       = regexp.MustCompile(`^classes\[\d+\]\.(\w+)`)
)

func isAboutQueues(path string) bool {
	if path == "" || aboutQueues.MatchString(path) {
		return !aboutDelivery.MatchString(path)
	}
	if key := ofClass.FindStringSubmatch(path); key != nil {
		return isLike[Class](key[1], "name")
	}
	return isLike[Config](topOf(path), "brokers", "queues", "classes")
}

// topOf returns the first key of a path.
func topOf(path string) string {
	if i := strings.IndexAny(path, ".["); i >= 0 {
		path = path[:i]
	}
	return path
}

// isLike reports whether a key of a struct that nobody knows may be one of keys.
func isLike[T any](key string, keys ...string) bool {
	near, known := lookUp[T](key)
	return !known && slices.ContainsFunc(near, func(name string) bool { return slices.Contains(keys, name) })
}

// lookUp returns whether a struct has the key in a file, and those that it may be a
// misspelling of.
func lookUp[T any](key string) (near []string, known bool) {
	index, names := strictyaml.Fields(reflect.TypeFor[T]())
	_, known = index[key]
	return strictyaml.Nearest(key, names), known
}

// missing names what the file does not have of that which looking at queues takes; ""
// for none.
func (d *draft) missing() string {
	var missing []string
	if len(d.config.Brokers) == 0 {
		missing = append(missing, "brokers")
	}
	if len(d.config.Queues) == 0 {
		missing = append(missing, "queues")
	}
	if len(d.config.Classes) == 0 {
		missing = append(missing, "classes")
	}
	return strings.Join(missing, " or ")
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
		remedy := ""
		if errors.Is(err, strictyaml.ErrNotRegular) {
			remedy = "name a file, as it is read again when it changes and at each reload"
		}
		d.source.Problem("", remedy, "can't be read: %s", cause(err))
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

// complete fills in the defaults and validates.
func (d *draft) complete() {
	if !d.unreadable {
		fillDefaults(d.config, d.source)
		validate(d.config, d.source)
		validator{d.config, d.source}.unavailable()
	}
}

// finish returns the complete configuration, or all that is wrong with it.
func (d *draft) finish() (*Config, error) {
	d.complete()
	c, src := d.config, d.source
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
