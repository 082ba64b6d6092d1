package topology

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

//go:embed graphs/*.yaml
var graphs embed.FS

// Builtin returns the graph that is called name, and whether there is one. It comes
// with the program; [Source] returns its file.
func Builtin(name string) (*Graph, bool) {
	text, ok := Source(name)
	if !ok {
		return nil, false
	}
	g, err := Parse(name+".yaml", text, nil)
	if err != nil {
		panic(fmt.Sprintf("topology: graph %s: %v", name, err)) // a test reads them all
	}
	return g, true
}

// Source returns the file of a graph that comes with the program.
func Source(name string) ([]byte, bool) {
	if !slices.Contains(BuiltinNames(), name) {
		return nil, false
	}
	text, err := graphs.ReadFile(path.Join("graphs", name+".yaml"))
	return text, err == nil
}

// BuiltinNames returns the names of the graphs that come with the program.
func BuiltinNames() []string {
	files, err := fs.Glob(graphs, "graphs/*.yaml")
	if err != nil {
		return nil // the pattern is right
	}
	for i, file := range files {
		files[i] = strings.TrimSuffix(path.Base(file), ".yaml")
	}
	return files
}
