package qdisc

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Attributes of the kernel's linux/pkt_sched.h.
const (
	attrHTBInit      = 2
	attrFQPriomap    = 16 // since Linux 6.7
	attrCakeDiffserv = 3
)

// cakeModes are the values of attrCakeDiffserv.
var cakeModes = []string{"diffserv3", "diffserv4", "diffserv8", "besteffort", "precedence"}

// decodeOptions fills in what the options of a queue say about bands. A kind
// without bands has nothing to decode.
func (q *Queue) decodeOptions(options []byte) error {
	switch q.Kind {
	case "pfifo_fast", "prio":
		return q.decodePriomap(options)
	case "mqprio": // struct tc_mqprio_qopt: __u8 num_tc, prio_tc_map[16], ...
		if len(options) < 17 {
			return q.short(options)
		}
		q.Bands = int(options[0])
		copy(q.Priomap[:], options[1:17])
		return nil
	case "fq":
		if priomap, ok := attribute(options, attrFQPriomap); ok {
			return q.decodePriomap(priomap)
		}
	case "htb": // struct tc_htb_glob: __u32 version, rate2quantum, defcls, ...
		glob, ok := attribute(options, attrHTBInit)
		if !ok || len(glob) < 12 {
			return q.short(options)
		}
		q.Default = binary.NativeEndian.Uint32(glob[8:])
	case "cake":
		mode, ok := attribute(options, attrCakeDiffserv)
		if !ok || len(mode) < 4 {
			return q.short(options)
		}
		q.Tins = "a mode that Overtake doesn't know"
		if m := binary.NativeEndian.Uint32(mode); m < uint32(len(cakeModes)) {
			q.Tins = cakeModes[m]
		}
	}
	return nil
}

// decodePriomap reads a struct tc_prio_qopt: int bands, __u8 priomap[16].
func (q *Queue) decodePriomap(data []byte) error {
	if len(data) < 20 {
		return q.short(data)
	}
	q.Bands = int(binary.NativeEndian.Uint32(data))
	copy(q.Priomap[:], data[4:20])
	return nil
}

func (q *Queue) short(data []byte) error {
	return fmt.Errorf("qdisc: options of %s %s: %d bytes, which is not what Linux writes", q.Kind, handleText(q.Handle), len(data))
}

// attribute finds one netlink attribute: __u16 length with these four bytes, __u16
// type, value, padded to four.
func attribute(data []byte, kind uint16) ([]byte, bool) {
	for len(data) >= 4 {
		length := int(binary.NativeEndian.Uint16(data))
		if length < 4 || length > len(data) {
			return nil, false
		}
		if binary.NativeEndian.Uint16(data[2:])&0x3fff == kind { // without the flags nested and byte order
			return data[4:length], true
		}
		data = data[min((length+3)&^3, len(data)):]
	}
	return nil, false
}

// decodeQueue reads the attributes of an RTM_NEWQDISC message.
func decodeQueue(handle, parent uint32, attributes []byte) (Queue, error) {
	const kind, options = 1, 2
	name, _ := attribute(attributes, kind)
	q := Queue{Kind: string(bytes.TrimRight(name, "\x00")), Handle: handle, Parent: parent}
	data, _ := attribute(attributes, options)
	return q, q.decodeOptions(data)
}
