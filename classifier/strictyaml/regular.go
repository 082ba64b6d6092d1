package strictyaml

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// ErrNotRegular is in the error of [OpenFile] and [ReadFile] for a pipe, a device or a
// directory.
var ErrNotRegular = errors.New("not a regular file")

// OpenFile is os.Open for regular files. What is none, such as a pipe or a device, is
// an error: reading it may take for ever, and what came would be gone the next time.
func OpenFile(name string) (*os.File, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: ErrNotRegular}
	}
	return os.Open(name)
}

// ReadFile reads a regular file of at most most bytes; a larger one is an error, and
// no more than that is read of it.
func ReadFile(name string, most int64) ([]byte, error) {
	f, err := OpenFile(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > most {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("larger than %d KiB", most>>10)}
	}
	return data, nil
}
