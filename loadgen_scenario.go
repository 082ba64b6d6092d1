package main

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"overtake/loadgen"
	"overtake/loadgen/content"
	"overtake/loadgen/scenario"
)

// listScenarios prints the scenarios that are built in.
func listScenarios(w io.Writer) error {
	names := scenario.Names()
	widest := len(slices.MaxFunc(names, func(a, b string) int { return len(a) - len(b) }))
	for _, name := range names {
		if _, err := fmt.Fprintf(w, "%-*s  %s\n", widest, name, scenario.About(name)); err != nil {
			return err
		}
	}
	return nil
}

// printFile prints a file of a built-in scenario.
func (c *loadgenCommand) printFile(w io.Writer) error {
	text, gateway, ok := scenario.Text(c.File)
	switch {
	case !ok:
		return &usageError{fmt.Errorf("--print %s: no built-in scenario is called %q; give -f and one of %s", c.Print, c.File, strings.Join(scenario.Names(), ", "))}
	case c.Print == "gateway":
		text = gateway
	case c.Print != "scenario":
		return &usageError{fmt.Errorf("--print %q, want scenario or gateway", c.Print)}
	}
	_, err := w.Write(text)
	return err
}

// checkFlags returns what is wrong with the flags by themselves.
func (c *loadgenCommand) checkFlags() error {
	switch {
	case c.Repeat < 1 || c.Repeat > 1000:
		return fmt.Errorf("--repeat %d, want 1 to 1000", c.Repeat)
	case math.IsNaN(c.Rate) || c.Rate <= 0 || c.Rate > 1e6:
		return fmt.Errorf("--rate %v, want a factor above 0, such as 2 for twice the rates; the rate of a class is in --class or the scenario", c.Rate)
	case c.Duration != nil && *c.Duration <= 0:
		return fmt.Errorf("--duration %v, want more than 0s", *c.Duration)
	case c.Warmup != nil && *c.Warmup < 0:
		return fmt.Errorf("--warmup %v, want 0s or more", *c.Warmup)
	case c.Timeout <= 0 || c.Timeout > loadgen.MaxTimeout:
		return fmt.Errorf("--timeout %v, want more than 0s, and at most %.0fh", c.Timeout, loadgen.MaxTimeout.Hours())
	case c.Outstanding < 1:
		return fmt.Errorf("--max-outstanding %d, want 1 or more", c.Outstanding)
	case c.TraceSample != nil && !(*c.TraceSample >= 0 && *c.TraceSample <= 1):
		return fmt.Errorf("--trace-sample %v, want a share from 0 to 1", *c.TraceSample)
	case c.Condition == "" || utf8.RuneCountInString(c.Condition) > 64 || strings.ContainsFunc(c.Condition, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("--condition %q, want 1 to 64 characters that can be printed, such as 'with classes'", c.Condition)
	}
	for _, page := range []struct{ flag, url, example string }{
		{"--jaeger", c.Jaeger, "http://127.0.0.1:16686"},
		{"--completions", c.Completions, "http://127.0.0.1:9000/completions"},
	} {
		if page.url == "" {
			continue
		}
		u, err := url.Parse(page.url)
		if err == nil {
			_, err = strconv.ParseUint(cmp.Or(u.Port(), "80"), 10, 16)
		}
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("%s is not a URL of HTTP, want one such as %s", page.flag, page.example)
		}
		if u.User != nil {
			return fmt.Errorf("%s has a user and a password in it, which would be in the report; want one such as %s", page.flag, page.example)
		}
	}
	return nil
}

// scenario is that of the file, if there is one, as the flags change it.
func (c *loadgenCommand) scenario() (loadgen.Scenario, error) {
	s := loadgen.Scenario{Duration: 30 * time.Second, Seed: 1}
	if c.File != "" {
		var err error
		if s, err = scenario.Open(c.File, scenario.Changes{Warmup: c.Warmup, Rate: c.Rate}, os.LookupEnv); err != nil {
			return s, err
		}
	}
	if c.Duration != nil && len(s.Phases) > 0 {
		return s, fmt.Errorf("--duration %v: the scenario %s has phases, each with a duration of its own; change them in a copy of it", *c.Duration, c.File)
	}
	if c.Duration != nil {
		s.Duration = *c.Duration
	}
	if c.Warmup != nil { // also of a load that is in flags alone
		s.Warmup = *c.Warmup
	}
	if c.Seed != nil {
		s.Seed = *c.Seed
	}
	if c.Target != "" {
		s.Target = c.Target
	}
	if err := c.setClasses(&s); err != nil {
		return s, err
	}
	if err := authorize(&s); err != nil {
		return s, err
	}
	return s, s.Validate()
}

// setClasses adds the classes of the flags to the scenario, or replaces those of
// the same name.
func (c *loadgenCommand) setClasses(s *loadgen.Scenario) error {
	given := make(map[string]bool, len(c.Class))
	for _, flag := range c.Class {
		class, err := loadgen.ParseClassFlag(flag)
		if err != nil {
			return err
		}
		if given[class.Name] {
			return fmt.Errorf("--class %s: there are two of this name", class.Name)
		}
		given[class.Name] = true
		class.Arrivals = class.Arrivals.Times(c.Rate) // as the file's are already
		at := slices.IndexFunc(s.Classes, func(other loadgen.Class) bool { return other.Name == class.Name })
		if at < 0 {
			s.Classes = append(s.Classes, class)
		} else {
			s.Classes[at] = class
		}
	}
	for _, name := range c.Job {
		at := slices.IndexFunc(s.Classes, func(class loadgen.Class) bool { return class.Name == name })
		if at < 0 {
			return fmt.Errorf("--job %s: there is no class of this name", name)
		}
		s.Classes[at].Job = true
	}
	if len(s.Classes) == 0 {
		return errors.New("no load given; add -f shop, or --class 'interactive=200:/work?ms=5'")
	}
	return nil
}

// authorize takes user and password out of the URLs of HTTP servers, so that no
// report and no message has them, and puts them into the requests that go there
// (RFC 7617).
func authorize(s *loadgen.Scenario) error {
	needsTarget := slices.ContainsFunc(s.Classes, func(c loadgen.Class) bool { return c.Endpoint == "" })
	if s.Target == "" && needsTarget {
		return errors.New("no target; add --target http://127.0.0.1:8080")
	}
	authorizations := make(map[string]string)
	var err error
	if s.Target, authorizations[""], err = withoutUser("--target", s.Target); err != nil {
		return err
	}
	for name, e := range s.Endpoints {
		if e.Kind != "http" {
			continue
		}
		if e.URL, authorizations[name], err = withoutUser("endpoint "+name, e.URL); err != nil {
			return err
		}
		s.Endpoints[name] = e
	}
	for i := range s.Classes {
		if value := authorizations[s.Classes[i].Endpoint]; value != "" {
			fields := &s.Classes[i].Request.Fields
			*fields = append(slices.Clip(*fields), content.Field{Name: "Authorization", Value: value})
		}
	}
	return nil
}

// withoutUser takes user and password out of a URL and returns them as the value
// of Authorization; "" if there are none. Its errors don't quote
// the URL, and not the cause either, which may quote a part of the password.
func withoutUser(where, raw string) (clean, authorization string, err error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", "", fmt.Errorf("%s is not a URL; want http://HOST:PORT or https://HOST:PORT", where)
	}
	if u.User == nil {
		return raw, "", nil
	}
	password, _ := u.User.Password()
	pair := u.User.Username() + ":" + password
	u.User = nil
	return u.String(), "Basic " + base64.StdEncoding.EncodeToString([]byte(pair)), nil
}
