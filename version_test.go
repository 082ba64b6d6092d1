package main

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
)

func TestBuildOf(t *testing.T) {
	setting := func(key, value string) debug.BuildSetting { return debug.BuildSetting{Key: key, Value: value} }
	commit := setting("vcs.revision", "0123456789abcdef0123456789abcdef01234567")
	date := setting("vcs.time", "2026-01-02T03:04:05Z")
	for _, test := range []struct {
		name string
		info debug.BuildInfo
		want build
	}{
		{"a tag", debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}, GoVersion: "go1.26.0", Settings: []debug.BuildSetting{commit, date, setting("vcs.modified", "false")}},
			build{"v1.2.3", "0123456789ab", "2026-01-02T03:04:05Z", "go1.26.0"}},
		{"changed files", debug.BuildInfo{Main: debug.Module{Version: "v1.2.4-0"}, GoVersion: "go1.26.0", Settings: []debug.BuildSetting{commit, setting("vcs.modified", "true")}},
			build{"v1.2.4-0", "0123456789ab+modified", "", "go1.26.0"}},
		{"no repository", debug.BuildInfo{GoVersion: "go1.26.0"}, build{"(devel)", "", "", "go1.26.0"}},
		{"a short commit", debug.BuildInfo{Settings: []debug.BuildSetting{setting("vcs.revision", "01")}}, build{"(devel)", "01", "", ""}},
	} {
		if got := buildOf(&test.info); got != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
}

// A manager that is gone is a warning, and none is no matter.
func TestNotifyNobody(t *testing.T) {
	var log bytes.Buffer
	t.Setenv("NOTIFY_SOCKET", "")
	notifyManager(slog.New(slog.NewTextHandler(&log, nil)), notifyReady)
	if log.Len() > 0 {
		t.Errorf("without a manager it logs %s", &log)
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "gone"))
	notifyManager(slog.New(slog.NewTextHandler(&log, nil)), notifyReady)
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "NOTIFY_SOCKET") {
		t.Errorf("with a manager that is gone it logs %q", &log)
	}
}
