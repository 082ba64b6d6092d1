package main

import (
	"fmt"
	"runtime/debug"
	"strings"
)

// What the linker is told by -X where the Go command can't know it: a build
// outside a repository, as in the Dockerfile, or a version that is not a tag.
// Empty stands for what the Go command stamped.
var (
	stampedVersion string
	stampedCommit  string
	stampedDate    string
)

type versionCommand struct{}

// Help implements kong.HelpProvider.
func (*versionCommand) Help() string {
	return `Prints the version, the commit, the commit's time and the version of Go; what is not known is left out.

Example:
  overtake version`
}

// Run prints the version.
func (*versionCommand) Run() error {
	b := readBuild()
	fmt.Println(strings.Join(strings.Fields("overtake "+b.version+" "+b.commit+" "+b.date+" "+b.goVersion), " "))
	return nil
}

// version is what reports and spans call this program.
func version() string { return readBuild().version }

// build is where the program comes from. Fields that are not known are empty,
// but for the version.
type build struct {
	version   string // a tag such as v1.2.3, what Go makes of an untagged commit, or (devel)
	commit    string // its first 12 digits, with +modified if files were not as in it
	date      string // of the commit, RFC 3339
	goVersion string
}

func readBuild() build {
	b := build{version: "unknown"}
	if info, ok := debug.ReadBuildInfo(); ok {
		b = buildOf(info)
	}
	if stampedVersion != "" {
		b.version = stampedVersion
	}
	if stampedCommit != "" {
		b.commit = short(stampedCommit)
	}
	if stampedDate != "" {
		b.date = stampedDate
	}
	return b
}

func buildOf(info *debug.BuildInfo) build {
	b := build{version: info.Main.Version, goVersion: info.GoVersion}
	if b.version == "" { // a test
		b.version = "(devel)"
	}
	modified := ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.commit = short(s.Value)
		case "vcs.time":
			b.date = s.Value
		case "vcs.modified":
			if s.Value == "true" {
				modified = "+modified"
			}
		}
	}
	b.commit += modified
	return b
}

// short cuts a commit's name to what people tell commits apart by.
func short(commit string) string { return commit[:min(len(commit), 12)] }
