package nats

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestServerRefusesUnusableFolder(t *testing.T) {
	file := func(path string) {
		t.Helper()
		if err := os.WriteFile(path, []byte("in the way"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]func(dir string) string{
		"no folder":             func(string) string { return "" },
		"a file in its place":   func(dir string) string { file(dir + "/f"); return dir + "/f" },
		"below a file":          func(dir string) string { file(dir + "/f"); return dir + "/f/data" },
		"a folder for the lock": func(dir string) string { _ = os.Mkdir(dir+"/"+lockName, 0o700); return dir },
		"a file for the store":  func(dir string) string { file(dir + "/jetstream"); return dir },
	}
	for name, prepare := range tests {
		t.Run(name, func(t *testing.T) {
			dir := prepare(t.TempDir())
			s, err := StartServer(ServerConfig{Dir: dir, Logger: testLog(t)})
			if err == nil {
				_ = s.Shutdown(testContext(t))
				t.Fatal("the server started")
			}
			if msg := err.Error(); !strings.Contains(msg, dir) || !strings.Contains(msg, "folder") {
				t.Errorf("error %q does not name the folder", msg)
			}
			t.Log(err)
		})
	}
}

// TestServerAndDamagedFolder damages a folder with 100 messages in a lane.
// Either the server starts, with what can still be read, or it says where the
// damage is; it does not go on as if a lane had never been there.
func TestServerAndDamagedFolder(t *testing.T) {
	t.Parallel()
	garbage := bytes.Repeat([]byte("garbage "), 512)
	tests := []struct {
		name   string
		damage func(stream string) error
		wantOK bool
	}{
		{"nothing", func(string) error { return nil }, true},
		{"a torn message", func(s string) error { return truncate(s+"/msgs/1.blk", -10) }, true},
		{"half of the messages", func(s string) error { return truncate(s+"/msgs/1.blk", 2000) }, true},
		{"garbage for messages", func(s string) error { return os.WriteFile(s+"/msgs/1.blk", garbage, 0o600) }, true},
		{"garbage for the index", func(s string) error { return os.WriteFile(s+"/msgs/index.db", garbage, 0o600) }, true},
		{"garbage for consumer state", func(s string) error {
			return os.WriteFile(s+"/obs/"+consumerName+"/o.dat", garbage, 0o600)
		}, false},
		{"garbage for the stream", func(s string) error { return os.WriteFile(s+"/meta.inf", garbage, 0o600) }, false},
		{"an empty stream file", func(s string) error { return os.Truncate(s+"/meta.inf", 0) }, false},
		{"no stream file", func(s string) error { return os.Remove(s + "/meta.inf") }, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			b := &testBroker{dir: dir}
			b.start(t)
			publish(t, b.open(t, QueueConfig{}), "batch", manyIDs(100)...)
			b.stop(t)
			stream := filepath.Join(dir, "jetstream", "$G", "streams", "jobs_batch")
			if err := test.damage(stream); err != nil {
				t.Fatal(err)
			}

			s, err := StartServer(ServerConfig{Dir: dir, Logger: testLog(t)})
			if test.wantOK {
				if err != nil {
					t.Fatal(err)
				}
				conn, err := Connect(ConnConfig{Server: s, Logger: testLog(t)})
				if err != nil {
					t.Fatal(err)
				}
				b.server, b.conn = s, conn
				defer b.stop(t)
				t.Logf("%+v", lanes(t, b.open(t, QueueConfig{}))[2])
				return
			}
			if err == nil {
				_ = s.Shutdown(testContext(t))
				t.Fatal("the server started without a word")
			}
			for _, want := range []string{dir, "jobs_batch", "move " + stream} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not mention %q", err, want)
				}
			}
		})
	}
}

func truncate(path string, size int64) error {
	if size < 0 {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		size += info.Size()
	}
	return os.Truncate(path, size)
}
