package nats

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
)

// checkRecovered returns an error if a stream or a consumer in dir was not
// read. The server only logs that and goes on without it, and the messages of
// a lane would be missed by nobody until much later.
func checkRecovered(ns *server.Server, dir string) error {
	state, err := ns.Jsz(&server.JSzOptions{Accounts: true, Streams: true, Consumer: true})
	if err != nil {
		return fmt.Errorf("nats: list recovered streams: %w", err)
	}
	read := make(map[string]bool) // by folder
	root := filepath.Join(dir, server.JetStreamStoreDir)
	for _, account := range state.AccountDetails {
		for _, s := range account.Streams {
			folder := filepath.Join(root, account.Name, "streams", s.Name)
			read[folder] = true
			for _, c := range s.Consumer {
				read[filepath.Join(folder, "obs", c.Name)] = true
			}
		}
	}

	streams, err := subfolders(filepath.Join(root, ns.GlobalAccount().Name, "streams"))
	if err != nil {
		return unusable(dir, err)
	}
	for _, stream := range streams {
		if !read[stream] {
			return fmt.Errorf("nats: broker folder %q: stream %q can't be read (the log says why); "+
				"restore the folder from a backup, or move %s away to go on without its messages",
				dir, filepath.Base(stream), stream)
		}
		consumers, err := subfolders(filepath.Join(stream, "obs"))
		if err != nil {
			return unusable(dir, err)
		}
		for _, c := range consumers {
			if !read[c] {
				return fmt.Errorf("nats: broker folder %q: the state of consumer %q of stream %q can't be read (the log says why); "+
					"move %s away: no message is lost, but attempts are counted anew",
					dir, filepath.Base(c), filepath.Base(stream), c)
			}
		}
	}
	return nil
}

// subfolders returns the paths of the folders in dir, which need not exist. It
// leaves out the hidden ones that the server makes while it removes something.
func subfolders(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var paths []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths, err
}

// blockSizes returns the sizes of the files with messages in dir, by path.
func blockSizes(dir string) map[string]int64 {
	paths, _ := filepath.Glob(filepath.Join(dir, server.JetStreamStoreDir, "*", "streams", "*", "msgs", "*.blk"))
	sizes := make(map[string]int64, len(paths))
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil { // else the server meets it, too
			sizes[path] = info.Size()
		}
	}
	return sizes
}

// reportCutOff logs what the server has cut off the ends of files since sizes were
// taken: it drops what it can't read there, down to the last whole message, without
// a word.
func reportCutOff(log *slog.Logger, sizes map[string]int64) {
	for path, before := range sizes {
		if info, err := os.Stat(path); err == nil && info.Size() < before {
			log.Warn("nats: the end of a file of messages can't be read and was cut off: what it held is lost",
				"stream", filepath.Base(filepath.Dir(filepath.Dir(path))), "file", path, "bytes", before-info.Size())
		}
	}
}
