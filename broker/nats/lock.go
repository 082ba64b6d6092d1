package nats

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// lockName is the file whose lock says that a folder is in use. It stays when
// the lock is released: removing it could take it from under the next owner.
const lockName = "overtake.lock"

// errLocked is what lockFile returns when another one holds the lock.
var errLocked = errors.New("locked")

// ErrInUse means that another process has the broker folder; [ConnConfig].Dir
// reaches it.
var ErrInUse = errors.New("in use")

// folderLock is the ownership of a broker folder. The kernel releases it with
// the process, however that ends. JetStream itself does not notice a second
// server on its files.
type folderLock struct {
	file *os.File
}

// lockFolder creates dir if need be and takes the lock of it.
func lockFolder(dir string) (*folderLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, unusable(dir, err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, unusable(dir, err)
	}
	if err := takeLock(f, dir); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &folderLock{file: f}, nil
}

func takeLock(f *os.File, dir string) error {
	err := lockFile(f)
	if errors.Is(err, errLocked) {
		return fmt.Errorf("nats: broker folder %q is %w by process %s; stop it or give this one another dir", dir, ErrInUse, owner(f))
	}
	if err != nil {
		return unusable(dir, fmt.Errorf("lock %s: %w", f.Name(), err))
	}
	pid := strconv.Itoa(os.Getpid()) + "\n"
	if err := f.Truncate(0); err != nil {
		return unusable(dir, err)
	}
	if _, err := f.WriteAt([]byte(pid), 0); err != nil {
		return unusable(dir, err)
	}
	return nil
}

// owner returns the process id that the holder of the lock wrote into f, or
// "unknown" if it has not come to that.
func owner(f *os.File) string {
	b, err := io.ReadAll(io.LimitReader(f, 32))
	if pid := strings.TrimSpace(string(b)); err == nil && pid != "" {
		return pid
	}
	return "unknown"
}

func (l *folderLock) release() error { return l.file.Close() }
