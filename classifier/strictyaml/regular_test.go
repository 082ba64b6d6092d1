package strictyaml

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	if data, err := ReadFile(name, 5); err != nil || string(data) != "12345" {
		t.Errorf("%q, %v", data, err)
	}
	if err := os.Truncate(name, 1<<40); err != nil { // with a hole, not with that many bytes
		t.Fatal(err)
	}
	if _, err := ReadFile(name, 1<<10); err == nil || !strings.HasSuffix(err.Error(), "larger than 1 KiB") {
		t.Errorf("a large file: %v", err)
	}
	if _, err := ReadFile(os.DevNull, 5); err == nil || !strings.HasSuffix(err.Error(), "not a regular file") {
		t.Errorf("a device: %v", err)
	}
}
