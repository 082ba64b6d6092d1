//go:build e2e

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestE2EAccessLogIsRotated: by renaming the file and SIGHUP, as logrotate does. Every
// request has one line, before or after.
func TestE2EAccessLogIsRotated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	g := startGateway(t, fmt.Sprintf("access_log: {output: %q}\nupstreams: {app: {servers: [%q]}}\n", path, startApp(t, 4)))
	targets := func(file string) (all []string) {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil
		}
		for line := range strings.Lines(string(text)) {
			var l struct{ Target string }
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				t.Fatalf("%s: %q: %v", file, line, err)
			}
			all = append(all, l.Target)
		}
		return all
	}
	var want []string
	ask := func(n int) {
		for range n {
			target := fmt.Sprintf("/work?ms=0&n=%d", len(want))
			resp, err := http.Get(g.url + target)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			want = append(want, target)
		}
	}
	ask(20)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	g.signal(t, syscall.SIGHUP)
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the file was not opened again")
		}
	}
	ask(20)
	g.stop(t)
	if got := slices.Concat(targets(path+".1"), targets(path)); !slices.Equal(got, want) {
		t.Errorf("the files have\n%q\nwant\n%q", got, want)
	}
	if n := len(targets(path)); n != 20 {
		t.Errorf("%d lines in the new file, want 20", n)
	}
}
