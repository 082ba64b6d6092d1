package qdisc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// lockPatience bounds the wait for others: a change takes milliseconds.
const lockPatience = 30 * time.Second

// lock keeps other processes from changing the same device's queues until unlock
// is called or the process ends, however it ends; it waits for its turn. It is a
// socket with an abstract name, as those belong to the network namespace, like the
// device.
func lock(ctx context.Context, link netlink.Link) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	name := fmt.Sprintf("@overtake-qdisc-%d", link.Attrs().Index)
	for {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", name)
		if err == nil {
			return func() { _ = listener.Close() }, nil
		}
		if !errors.Is(err, unix.EADDRINUSE) {
			return nil, fmt.Errorf("qdisc: lock of %s: %w", link.Attrs().Name, err)
		}
		if err := awaitClose(ctx, name); err != nil {
			return nil, fmt.Errorf("qdisc: another process changes the queues of %s, or says so by listening on %s (ss -xlp names it): %w",
				link.Attrs().Name, name, err)
		}
	}
}

// awaitClose returns when the listener with that name is gone: the kernel then
// ends the connections that it did not accept.
func awaitClose(ctx context.Context, name string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", name)
	if err != nil {
		return ctx.Err() // it is gone already
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	_, _ = conn.Read(make([]byte, 1))
	_ = conn.Close()
	return ctx.Err()
}
