package qdisc

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"strings"
	"testing"
)

// attr is a netlink attribute.
func attr(kind uint16, value ...byte) []byte {
	data := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
	data = binary.NativeEndian.AppendUint16(data, kind)
	data = append(data, value...)
	for len(data)%4 != 0 {
		data = append(data, 0)
	}
	return data
}

func words(values ...uint32) []byte {
	var data []byte
	for _, v := range values {
		data = binary.NativeEndian.AppendUint32(data, v)
	}
	return data
}

// message is what an RTM_NEWQDISC message says of a queue, with the attributes
// around it that Linux sends.
func message(kind string, options []byte) []byte {
	const tcaStats, tcaHardware, nested = 3, 12, 0x8000
	return bytes.Join([][]byte{
		attr(1, append([]byte(kind), 0)...), attr(2|nested, options...), attr(tcaHardware, 0), attr(tcaStats, words(1, 2, 3)...),
	}, nil)
}

// The options are written after linux/pkt_sched.h.
func TestDecodeQueue(t *testing.T) {
	prio := append(words(3), priomap[:]...)
	tc := [16]uint8{0, 0, 0, 0, 1, 1, 1, 1, 3, 3, 3, 3, 3, 3, 3, 2}
	mqprio := append([]byte{4}, tc[:]...)
	mqprio = append(mqprio, 1)                          // hw
	mqprio = append(mqprio, make([]byte, 2*16+2*16)...) // count, offset
	mqprio = append(mqprio, attr(1, 0, 0)...)           // TCA_MQPRIO_MODE
	fq := bytes.Join([][]byte{attr(1, words(10000)...), attr(15, 1), attr(14, words(10000000)...)}, nil)
	weights := attr(17, words(589824, 196608, 65536)...)
	for _, c := range []struct {
		name    string
		kind    string
		options []byte
		want    Queue
	}{
		{"pfifo_fast", "pfifo_fast", prio, Queue{Bands: 3, Priomap: priomap}},
		{"prio", "prio", prio, Queue{Bands: 3, Priomap: priomap}},
		{"mqprio", "mqprio", mqprio, Queue{Bands: 4, Priomap: tc}},
		{"fq before Linux 6.7", "fq", fq, Queue{}},
		{"fq since Linux 6.7", "fq", bytes.Join([][]byte{fq, attr(16, prio...), weights}, nil), Queue{Bands: 3, Priomap: priomap}},
		{"htb", "htb", append(attr(5, words(1000)...), attr(2, words(0x30011, 10, 0x20, 0, 7)...)...), Queue{Default: 0x20}},
		{"cake", "cake", append(attr(2, make([]byte, 8)...), attr(3, words(3)...)...), Queue{Tins: "besteffort"}},
		{"cake of the future", "cake", attr(3, words(99)...), Queue{Tins: "a mode that Overtake doesn't know"}},
		{"fq_codel", "fq_codel", attr(1, words(4999)...), Queue{}},
		{"noqueue", "noqueue", nil, Queue{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.want.Kind, c.want.Handle, c.want.Parent = c.kind, 0x80010000, root
			got, err := decodeQueue(0x80010000, root, message(c.kind, c.options))
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, %v, want %+v", got, err, c.want)
			}
		})
	}
}

// What is cut off is refused and not read past its end.
func TestDecodeQueueRefusesShortOptions(t *testing.T) {
	for kind, options := range map[string][]byte{
		"pfifo_fast": words(3, 0, 0), "prio": nil, "mqprio": make([]byte, 16), "fq": attr(16, words(3)...),
		"htb": attr(2, words(1, 2)...), "cake": attr(3, 1),
	} {
		if _, err := decodeQueue(0x10000, root, message(kind, options)); err == nil || !strings.Contains(err.Error(), "options of "+kind+" 1:") {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func FuzzDecodeQueue(f *testing.F) {
	f.Add(message("pfifo_fast", append(words(3), priomap[:]...)))
	f.Add(message("fq", attr(16, append(words(3), priomap[:]...)...)))
	f.Add(message("cake", attr(3, words(3)...)))
	f.Fuzz(func(t *testing.T, data []byte) {
		q, err := decodeQueue(0x10000, root, data)
		if err != nil {
			return
		}
		// Whatever it says, every class lands somewhere, told in words.
		for _, l := range on(q).Land(three()) {
			if l.Qdisc != q.Kind || l.Band == "" {
				t.Errorf("%+v: landed in %+v", q, l)
			}
		}
	})
}
