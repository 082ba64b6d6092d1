//go:build !linux

package qdisc

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
)

var errOther = fmt.Errorf("qdisc: only Linux has them: %w", errors.ErrUnsupported)

// Read fails: only Linux has these queues.
func Read(string) (Tree, error) { return Tree{}, errOther }

// Prepare fails: only Linux has these queues.
func Prepare(string, Settings) (Change, error) { return Change{}, errOther }

// Apply fails: only Linux has these queues.
func Apply(context.Context, string, Settings) (Change, error) { return Change{}, errOther }

// PrepareRemove fails: only Linux has these queues.
func PrepareRemove(string) (Change, error) { return Change{}, errOther }

// Remove fails: only Linux has these queues.
func Remove(context.Context, string) (Change, error) { return Change{}, errOther }

// Check fails: only Linux has these queues.
func Check(netip.Addr, []Class) ([]Report, error) { return nil, errOther }
