//go:build !linux

package socket

import (
	"errors"
	"fmt"
)

// trial can't be made here, and so nothing below it is ever asked for.
type trial struct{ congestion string }

func newTrial() (*trial, error) {
	return nil, fmt.Errorf("socket: options by class need Linux: %w", errors.ErrUnsupported)
}

func (*trial) close()                  {}
func (*trial) set(option, value) error { return errors.ErrUnsupported }
func (*trial) is(option, value) error  { return errors.ErrUnsupported }

func tcpFamily(int) (family int, ok bool) { return 0, false }

func set(option, int, int, value) error { return errors.ErrUnsupported }

func remedy(option, value, error) string { return "" }
