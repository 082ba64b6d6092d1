package charts

import (
	"os"
	"path/filepath"
)

// absent turns off what needs files that are not there yet.
func absent() (args []string) {
	for file, value := range map[string]string{"alerts.yaml": "alerts.enabled", "dashboard.json": "dashboard.enabled"} {
		if _, err := os.Stat(filepath.Join(chart(), "files", file)); err != nil {
			args = append(args, "--set", value+"=false")
		}
	}
	return args
}
