package nats

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A process that is killed may leave a message half written. The server starts
// again, keeps what is whole, and says what it could not read.
func TestKilledServerWithATornFile(t *testing.T) {
	t.Parallel()
	for name, tear := range map[string]func(block []byte) []byte{
		"cut off":   func(b []byte) []byte { return b[:len(b)-10] },
		"half gone": func(b []byte) []byte { return b[:len(b)/2+7] },
		"garbled":   func(b []byte) []byte { copy(b[len(b)-200:], bytes.Repeat([]byte{0xa5}, 200)); return b },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			confirmed := killPublisher(t, dir)
			blocks, err := filepath.Glob(filepath.Join(dir, "jetstream", "$G", "streams", "jobs_batch", "msgs", "*.blk"))
			if err != nil || len(blocks) == 0 {
				t.Fatalf("no block files: %v", err)
			}
			slices.Sort(blocks)
			newest := blocks[len(blocks)-1]
			content, err := os.ReadFile(newest)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(newest, tear(content), 0o600); err != nil {
				t.Fatal(err)
			}

			var log bytes.Buffer
			s, err := StartServer(ServerConfig{Dir: dir, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := s.Shutdown(testContext(t)); err != nil {
					t.Error(err)
				}
			})
			if text := log.String(); strings.Count(text, "was cut off") != 1 || !strings.Contains(text, "stream=jobs_batch") || !strings.Contains(text, newest) {
				t.Errorf("log %q, want one warning that names the stream and %s", text, newest)
			}
			q, err := connect(t, ConnConfig{Server: s, Logger: testLog(t)}).OpenQueue(testContext(t), crashQueue)
			if err != nil {
				t.Fatal(err)
			}
			c := consumer(t, q)
			kept := lanes(t, q)[1].Depth
			if kept < len(confirmed)/3 {
				t.Errorf("%d of %d messages are left, want those before the damage", kept, len(confirmed))
			}
			for range kept {
				d, err := c.Next(testContext(t), "batch")
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(d.Body, make([]byte, 256)) {
					t.Errorf("the body of %s is not what was published", d.ID)
				}
				if err := d.Done(testContext(t)); err != nil {
					t.Fatal(err)
				}
			}
			publish(t, q, "batch", "after") // and it goes on
			if err := next(t, c, "batch", "after", 1).Done(testContext(t)); err != nil {
				t.Error(err)
			}
			t.Logf("%d of %d confirmed messages are left", kept, len(confirmed))
		})
	}
}
