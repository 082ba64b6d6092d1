package qdisc

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Check tells which device leads to an address now, and what it does with the
// packets of each class. The zero Addr asks for the default route. It needs no
// privilege.
func Check(to netip.Addr, classes []Class) (Report, error) {
	if err := checkClasses(classes); err != nil {
		return Report{}, err
	}
	name := "default"
	if to.IsValid() {
		name = to.String()
	}
	link, err := linkTo(to)
	if err != nil {
		return Report{}, fmt.Errorf("qdisc: route to %s: %w", name, err)
	}
	tree, err := read(link)
	if err != nil {
		return Report{}, err
	}
	return newReport(name, tree, link.Attrs().Flags&net.FlagLoopback != 0, classes), nil
}

// anywhere are addresses that are nowhere (RFC 5737, RFC 3849): the default route
// leads to them, that of IPv4 if there is one.
var anywhere = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}

func linkTo(to netip.Addr) (netlink.Link, error) {
	targets := []netip.Addr{to}
	if !to.IsValid() {
		targets = anywhere
	}
	failed := error(unix.ENETUNREACH)
	for _, target := range targets {
		routes, err := netlink.RouteGet(target.Unmap().AsSlice())
		if err == nil && len(routes) > 0 {
			return netlink.LinkByIndex(routes[0].LinkIndex)
		}
		if err != nil {
			failed = err
		}
	}
	return nil, failed
}
