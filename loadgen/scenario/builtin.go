package scenario

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"overtake/classifier/strictyaml"
	"overtake/loadgen"
)

//go:embed scenarios/*.yaml
var builtin embed.FS

// A gateway's configuration that suits a scenario is beside it.
const (
	scenarioSuffix = ".yaml"
	gatewaySuffix  = ".gateway.yaml"
)

// Names returns the scenarios that are built in, sorted.
func Names() (names []string) {
	files, err := fs.Glob(builtin, "scenarios/*"+scenarioSuffix)
	if err != nil {
		panic(err) // the pattern is ours
	}
	for _, file := range files {
		if !strings.HasSuffix(file, gatewaySuffix) {
			names = append(names, strings.TrimSuffix(path.Base(file), scenarioSuffix))
		}
	}
	return names
}

// Text returns the file of a built-in scenario, to be copied and changed, and the
// configuration of a gateway that suits it. ok is false if there is none of this
// name.
func Text(name string) (scenario, gateway []byte, ok bool) {
	scenario, err := builtin.ReadFile("scenarios/" + name + scenarioSuffix)
	if err != nil || strings.HasSuffix(name+scenarioSuffix, gatewaySuffix) {
		return nil, nil, false
	}
	gateway, err = builtin.ReadFile("scenarios/" + name + gatewaySuffix)
	return scenario, gateway, err == nil
}

// About returns what a built-in scenario is about, in a line; "" if there is none of
// this name.
func About(name string) string {
	text, _, _ := Text(name)
	var f file
	strictyaml.Decode(name, text, &f, nil)
	return f.About
}

// Open returns the scenario in a file, or that which is built in under a name; see
// [strictyaml.IsFile].
// Its error is [strictyaml.Problems] if the file can be read.
func Open(nameOrFile string, changes Changes, lookupEnv func(string) (string, bool)) (loadgen.Scenario, error) {
	if !strictyaml.IsFile(nameOrFile) {
		text, _, ok := Text(nameOrFile)
		if !ok {
			return loadgen.Scenario{}, fmt.Errorf("scenario: no scenario is called %q; %s", nameOrFile, strictyaml.SuggestNameOrFile(nameOrFile, Names()))
		}
		return opened(read(nameOrFile+scenarioSuffix, text, changes, lookupEnv, func(string) (io.ReadCloser, error) {
			return nil, errors.New("what is built in has no folder")
		}))
	}
	data, err := strictyaml.ReadFile(nameOrFile, strictyaml.MaxFile)
	if err != nil {
		var cause *fs.PathError
		if errors.As(err, &cause) {
			err = cause.Err
		}
		return loadgen.Scenario{}, fmt.Errorf("scenario: %s can't be read: %w; give a file, or one of %s", nameOrFile, err, strings.Join(Names(), ", "))
	}
	return opened(Read(nameOrFile, data, changes, lookupEnv))
}

func opened(s loadgen.Scenario, problems strictyaml.Problems) (loadgen.Scenario, error) {
	if len(problems) > 0 {
		return loadgen.Scenario{}, problems
	}
	return s, nil
}
