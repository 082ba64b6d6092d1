package nats

import (
	"errors"
	"fmt"
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
