package qdisc

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Check tells which devices lead to an address now, and what each does with the
// packets of the classes that leave by it: a mark may lead them elsewhere
// (ip-rule(8)). The zero Addr asks for the default route. It needs no privilege.
// Its error is about classes that are in no report.
func Check(to netip.Addr, classes []Class) ([]Report, error) {
	if err := checkClasses(classes); err != nil {
		return nil, err
	}
	name := "default"
	if to.IsValid() {
		name = to.String()
	}
	var reports []Report
	var errs []error
	var links []netlink.Link
	leaving := make(map[int][]Class)        // by the index of their link
	routes := make(map[uint32]netlink.Link) // by mark; nil for none
	for i, m := range marksOf(classes) {
		link, asked := routes[m.mark]
		if !asked {
			var err error
			if link, err = linkTo(to, m.mark); err != nil {
				errs = append(errs, fmt.Errorf("qdisc: route to %s%s: %w", name, withMark(m.mark), err))
			}
			routes[m.mark] = link
		}
		if link == nil {
			continue
		}
		index := link.Attrs().Index
		if leaving[index] == nil {
			links = append(links, link)
		}
		leaving[index] = append(leaving[index], classes[i])
	}
	for _, link := range links {
		tree, err := read(link)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		reports = append(reports, newReport(name, tree, link.Attrs().Flags&net.FlagLoopback != 0, leaving[link.Attrs().Index]))
	}
	return reports, errors.Join(errs...)
}

func withMark(mark uint32) string {
	if mark == 0 {
		return ""
	}
	return fmt.Sprintf(" with mark %#x", mark)
}

// anywhere are addresses that are nowhere (RFC 5737, RFC 3849): the default route
// leads to them, that of IPv4 if there is one.
var anywhere = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}

func linkTo(to netip.Addr, mark uint32) (netlink.Link, error) {
	targets := []netip.Addr{to}
	if !to.IsValid() {
		targets = anywhere
	}
	failed := error(unix.ENETUNREACH)
	for _, target := range targets {
		routes, err := netlink.RouteGetWithOptions(target.Unmap().AsSlice(), &netlink.RouteGetOptions{Mark: mark})
		if err == nil && len(routes) > 0 {
			return netlink.LinkByIndex(routes[0].LinkIndex)
		}
		if err != nil {
			failed = err
		}
	}
	return nil, failed
}
