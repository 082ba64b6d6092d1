package gateway

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"overtake/gateway/config"
)

// settleTime is for how long nothing must happen to a file before it is read:
// many editors write in several steps, and half a file may be a valid one.
const settleTime = 100 * time.Millisecond

// watcher tells when the content of files has changed, however that came about: by
// writing to a file, by another one that is renamed to it, or by another target of
// a symbolic link on the way to it, as Kubernetes mounts ConfigMaps and Secrets.
//
// It watches the directories that hold the files and the links, since a watch on a
// file itself ends with that file, and compares contents, since most of what
// happens in a directory is of no concern. It sees nothing where the kernel sees
// nothing, as on most network file systems.
type watcher struct {
	notify *fsnotify.Watcher
	log    *slog.Logger
	groups []*watchedFiles
	stir   chan struct{} // of capacity 1, see again
	// entries are the directory entries that decide what is read.
	entries map[string]struct{}
}

// watchedFiles are files that belong together.
type watchedFiles struct {
	names   func() []string
	changed func()
	seen    [sha256.Size]byte
}

func newWatcher(log *slog.Logger) (*watcher, error) {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("gateway: watch files: %w", err)
	}
	return &watcher{notify: notify, log: log, stir: make(chan struct{}, 1)}, nil
}

// watch has run call changed, in its goroutine, when the content of the files is
// another than now, or they are others; see again. It must not be called any more
// when run has been.
func (w *watcher) watch(changed func(), names func() []string) {
	files := &watchedFiles{names: names, changed: changed}
	w.groups = append(w.groups, files)
	w.follow()
	files.seen, _ = files.sum() // who reads them next says what is wrong
}

// again has run ask which files are to be watched. It does not block.
func (w *watcher) again() {
	select {
	case w.stir <- struct{}{}:
	default:
	}
}

// run watches until stop is closed.
func (w *watcher) run(stop <-chan struct{}) {
	defer func() { _ = w.notify.Close() }() // it has nothing to say
	settled := time.NewTimer(settleTime)    // something may have happened since watch
	defer settled.Stop()
	for {
		select {
		case <-stop:
			return
		case event := <-w.notify.Events:
			if _, ok := w.entries[event.Name]; ok {
				settled.Reset(settleTime)
			}
		case err := <-w.notify.Errors: // events may have got lost
			w.log.Warn("files are watched with difficulty; after a change, send SIGHUP", "error", err)
			settled.Reset(settleTime)
		case <-w.stir:
			settled.Reset(settleTime)
		case <-settled.C:
			w.look()
		}
	}
}

// look calls changed for all files that have.
func (w *watcher) look() {
	w.follow() // before they are read, so that no change goes unseen
	for _, files := range w.groups {
		if sum, err := files.sum(); sum != files.seen {
			if err != nil {
				w.log.Warn("files that are watched can't be read", "error", err)
			}
			files.seen = sum
			files.changed()
		}
	}
}

// follow watches the directories that matter now, and no others.
func (w *watcher) follow() {
	w.entries = make(map[string]struct{})
	directories := make(map[string]struct{})
	for _, files := range w.groups {
		for _, name := range files.names() {
			for _, entry := range entriesOf(name) {
				directory := filepath.Dir(entry)
				w.entries[entry] = struct{}{}
				w.entries[directory] = struct{}{} // it may go away itself
				directories[directory] = struct{}{}
			}
		}
	}
	for _, directory := range w.notify.WatchList() {
		if _, ok := directories[directory]; !ok {
			_ = w.notify.Remove(directory) // it may be gone
		}
	}
	for directory := range directories {
		if err := w.notify.Add(directory); err != nil {
			w.log.Warn("changes of files in a directory are not seen; after one, send SIGHUP", "directory", directory, "error", err)
		}
	}
}

// sum is different if any of the files is, or can't be read any more, which is an
// error too.
func (f *watchedFiles) sum() (sum [sha256.Size]byte, unreadable error) {
	all := sha256.New()
	for _, name := range f.names() {
		content, err := config.ReadFile(name)
		unreadable = errors.Join(unreadable, err)
		fmt.Fprintf(all, "%d %v %s", len(content), err != nil, content)
	}
	all.Sum(sum[:0])
	return sum, unreadable
}

// entriesOf returns the directory entries on which it depends what is read as name:
// those of all symbolic links on the way, and of the file, or of what is missing.
func entriesOf(name string) (entries []string) {
	const mostLinks = 40 // as many as Linux follows
	at, err := filepath.Abs(name)
	if err != nil {
		return nil // there is no working directory any more
	}
	root := filepath.VolumeName(at) + string(filepath.Separator)
	rest := split(at)
	at = root
	for links := 0; len(rest) > 0 && links <= mostLinks; {
		entry := filepath.Join(at, rest[0]) // of "..", the directory above
		rest = rest[1:]
		info, err := os.Lstat(entry)
		switch {
		case err != nil:
			return append(entries, entry)
		case info.Mode()&os.ModeSymlink != 0:
			links++
			entries = append(entries, entry)
			target, err := os.Readlink(entry)
			if err != nil {
				return entries
			}
			if filepath.IsAbs(target) {
				at = root
			}
			rest = slices.Concat(split(target), rest)
		case len(rest) == 0:
			entries = append(entries, entry)
		default:
			at = entry
		}
	}
	return entries
}

// split returns the parts of a path.
func split(path string) []string {
	return strings.FieldsFunc(path[len(filepath.VolumeName(path)):], func(r rune) bool { return r == filepath.Separator })
}
