//go:build unix

package rabbitmqtest

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// owner is the user that a server runs as.
type owner struct{ uid, gid uint32 }

// serverOwner returns the user of Debian's package when the tests run as root,
// as the server should not, and otherwise nil: the user who runs the tests.
func serverOwner() (*owner, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("rabbitmq")
	if err != nil {
		return nil, fmt.Errorf("rabbitmqtest: the server's user: %w", err)
	}
	uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
	if errUID != nil || errGID != nil {
		return nil, fmt.Errorf("rabbitmqtest: the server's user has the ids %s and %s", u.Uid, u.Gid)
	}
	return &owner{uint32(uid), uint32(gid)}, nil
}

func (o *owner) credential() *syscall.Credential {
	if o == nil {
		return nil
	}
	return &syscall.Credential{Uid: o.uid, Gid: o.gid}
}

// own gives dir and the files in it to the owner.
func (o *owner) own(dir string) error {
	if o == nil {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, int(o.uid), int(o.gid))
	})
}
