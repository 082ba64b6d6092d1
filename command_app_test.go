package main

import (
	"os"
	"strings"
	"testing"
)

// What would be ignored is refused, before anything listens.
func TestAppUsage(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("ladder", []byte("name: ladder\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"app -f bookinfo --listen 127.0.0.1:0":               "--listen, --workers and --sharing are about the sample app",
		"app -f bookinfo --workers 8 --check":                "--listen, --workers and --sharing are about the sample app",
		"app -f bookinfo --sharing":                          "--listen, --workers and --sharing are about the sample app",
		"app -f ladder":                                      "--file ladder: no graph is called that; did you mean the file ./ladder?",
		"app --check":                                        "--check, --print, --listen-base and --sidecars are about a graph",
		"app --sidecars":                                     "--check, --print, --listen-base and --sidecars are about",
		"app -f bookinfo --sidecar-config x.yaml":            "--sidecar-config is about the sidecars that --sidecars adds",
		"app -f bookinfo --sidecars --sidecar-config x.yaml": "--sidecar-config: stat x.yaml: no such file or directory; name a file, relative to where overtake is started",
		"app --workers 0":                                    "--workers 0, want 1 to ",
		"app --listen 9000":                                  "--listen \"9000\" is not an address",
	} {
		code := -1
		stdout, stderr := captured(t, func() { code = run(strings.Fields(args)) })
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit code %d, printed %q, said %q; want %q", args, code, stdout, stderr, want)
		}
	}
}
