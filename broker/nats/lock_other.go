//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package nats

import (
	"errors"
	"os"
)

// lockFile refuses: without a lock that ends with its process, two servers
// could write one folder, and the embedded server is not worth that risk.
func lockFile(*os.File) error { return errors.ErrUnsupported }
