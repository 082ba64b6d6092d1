package qdisc

import (
	"fmt"
	"strings"
)

// A Landing is where the packets of a class wait on a device.
type Landing struct {
	Class string `json:"class"`
	// Marks is what is set on its sockets.
	Marks string `json:"marks"`
	// Qdisc is the kind of queue that decides.
	Qdisc string `json:"qdisc"`
	// Band is where in it, such as "band 0 of 3".
	Band string `json:"band"`
	// Trouble is why that doesn't do for the class what it should; "" if it does.
	Trouble string `json:"trouble,omitempty"`
	// Counters are those of the class's own branch, if it has one.
	Counters *Counters `json:"counters,omitempty"`

	order int // lower is served first; unordered if that is not known
}

const unordered = -1

// String is the landing in one line.
func (l Landing) String() string {
	text := fmt.Sprintf("%s (%s): %s, %s", l.Class, l.Marks, l.Qdisc, l.Band)
	if l.Trouble != "" {
		text += ": " + l.Trouble
	}
	return text
}

// Land tells where the packets of each class wait. Of filters it goes by those for
// IPv4.
func (t Tree) Land(classes []Class) []Landing {
	landings := make([]Landing, len(classes))
	carried := marksOf(classes)
	for i, c := range classes {
		l := Landing{Qdisc: "unknown", Band: "nothing is known", order: unordered}
		if q, ok := t.child(root); ok {
			l = t.land(q, carried[i])
		}
		l.Class, l.Marks = c.Name, c.Marks()
		landings[i] = l
	}
	judge(landings)
	return landings
}

// judge fills in Trouble where the order of the classes does not hold. It keeps
// what is there already.
func judge(landings []Landing) {
	for i := range landings {
		if landings[i].Trouble != "" {
			continue
		}
		var with, behind []string
		for j, other := range landings {
			switch {
			case i == j || other.Qdisc != landings[i].Qdisc:
			case other.Band == landings[i].Band:
				with = append(with, other.Class)
			case j > i && landings[i].order > other.order && other.order != unordered:
				behind = append(behind, other.Class)
			}
		}
		switch {
		case len(behind) > 0:
			landings[i].Trouble = "served after " + strings.Join(behind, " and ") + ", less urgent; change its marks"
		case len(with) > 0:
			landings[i].Trouble = "no order between it and " + strings.Join(with, " and ")
		}
	}
}

// alike are queues that know no class; what they do instead.
var alike = map[string]string{
	"pfifo": "one queue, first in, first out", "bfifo": "one queue, first in, first out",
	"pfifo_head_drop": "one queue, first in, first out",
	"codel":           "one queue, kept short", "red": "one queue, kept short", "pie": "one queue, kept short",
	"fq_codel": "connections served in turn", "fq_pie": "connections served in turn", "sfq": "connections served in turn",
	"netem": "one queue, delayed",
}

// land follows a packet from q to where it waits.
func (t Tree) land(q Queue, m marks) Landing {
	l := Landing{Qdisc: q.Kind, order: unordered}
	switch q.Kind {
	case "noqueue":
		l.Band, l.Trouble = "no queue", "marks have no effect on this device"
	case "noop":
		l.Band, l.Trouble = "nothing is sent", "the device is down"
	case "pfifo_fast", "prio", "fq", "mqprio":
		return t.landInBand(q, m, l)
	case "mq":
		return t.landInEach(q, m, l)
	case "tbf":
		if inner, ok := t.child(major(q.Handle) | 1); ok {
			return inside(q.Kind, t.land(inner, m))
		}
		l.Band = alike["bfifo"]
	case "htb":
		return t.landInBranch(q, m, l)
	case "cake":
		l.Band = cakeTin(q.Tins, m.dscp)
		if l.Band == "" {
			return unknown(l, "sorts by DSCP as "+q.Tins+" says")
		}
	default:
		text, ok := alike[q.Kind]
		if !ok {
			return unknown(l, "a kind that Overtake doesn't know")
		}
		l.Band = text
	}
	return l
}

func unknown(l Landing, why string) Landing {
	l.Band, l.Trouble = "not known", why
	return l
}

// inside says of what kind the queue around a landing is.
func inside(kind string, l Landing) Landing {
	l.Qdisc = kind + " > " + l.Qdisc
	return l
}

// landInBand looks the band up by the low bits of the priority, as the kernel does.
func (t Tree) landInBand(q Queue, m marks, l Landing) Landing {
	if t.filtered(q.Handle) {
		return unknown(l, "filters of its own decide")
	}
	if q.Bands == 0 {
		l.Band = alike["fq_codel"] // fq before Linux 6.7
		return l
	}
	band := int(q.Priomap[m.priority&15])
	l.Band = fmt.Sprintf("band %d of %d", band, q.Bands)
	l.order = band
	switch q.Kind {
	case "fq":
		l.Band += ", by weight"
	case "mqprio":
		// Which of its sets of queues goes first is up to the network card.
		l.Band, l.order = fmt.Sprintf("hardware queues of traffic class %d of %d", band, q.Bands), unordered
	}
	return l
}

// landInEach is for mq: a packet gets into any of the hardware queues, which the
// kernel makes all of one kind.
func (t Tree) landInEach(q Queue, m marks, l Landing) Landing {
	var first Landing
	count := 0
	for _, child := range t.Queues {
		if child.Parent == root || child.Parent == ingress || major(child.Parent) != major(q.Handle) {
			continue
		}
		next := t.land(child, m)
		if count > 0 && next != first {
			return unknown(l, "its hardware queues are not all alike")
		}
		first = next
		count++
	}
	if count == 0 {
		return unknown(l, "its hardware queues can't be seen")
	}
	return inside("mq", first)
}

// landInBranch goes the way of htb: a priority that is the id of a leaf, then the
// filters, then the default.
func (t Tree) landInBranch(q Queue, m marks, l Landing) Landing {
	to := major(q.Handle) | q.Default
	if _, ok := t.branch(m.priority); ok {
		to = m.priority
	} else {
		for _, f := range t.Filters {
			if f.Parent != q.Handle || f.Protocol != anyProtocol && f.Protocol != ipProtocol {
				continue
			}
			if f.Option == "" {
				return unknown(l, "it has filters that Overtake can't read")
			}
			if m.of(f.Option) == f.Value {
				to = f.To
				break
			}
		}
	}
	b, ok := t.branch(to)
	if !ok {
		l.Band = "past all branches, unshaped"
		return l
	}
	l.Band, l.order = fmt.Sprintf("branch %s, prio %d", handleText(b.ID), b.Prio), int(b.Prio)
	l.Counters = &b.Counters
	if inner, ok := t.child(b.ID); ok && inner.Bands > 0 && inner.Kind != "fq" {
		within := t.land(inner, m)
		l.Qdisc += " > " + within.Qdisc
		l.Band += ", " + within.Band
		l.order = l.order*inner.Bands + max(within.order, 0)
	}
	return l
}

func (t Tree) filtered(handle uint32) bool {
	for _, f := range t.Filters {
		if f.Parent == handle {
			return true
		}
	}
	return false
}

// cakeTin returns the tin for a code point, as sch_cake has them since Linux 5.9,
// and "" if it isn't known here.
func cakeTin(tins string, dscp uint32) string {
	switch tins {
	case "besteffort":
		return "one tin, connections served in turn"
	case "diffserv3":
		switch dscp {
		case 1, 8:
			return "tin bulk of 3"
		case 4, 44, 46, 48, 56:
			return "tin voice of 3"
		}
		return "tin best effort of 3"
	}
	return ""
}
