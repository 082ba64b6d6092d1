package rabbitmq

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"overtake/broker"
)

// FuzzHeader checks that what a publisher may send comes back, and that none of it
// reaches the server under a name that the server acts upon.
func FuzzHeader(f *testing.F) {
	for _, name := range []string{"content-type", "CC", "x-death", "X-Delivery-Count", headerAttempts, escapePrefix, escapePrefix + "CC"} {
		f.Add("id", name, "value")
	}
	f.Fuzz(func(t *testing.T, id, name, value string) {
		m := &broker.Message{ID: id, Class: "batch", Header: broker.Header{name: {value, "second"}, "single": {value}}}
		if m.Validate() != nil || name == broker.HeaderClass || name == "single" {
			t.Skip()
		}
		sent := encodeHeader(m)
		for name, values := range sent {
			if reserved(name) && !strings.HasPrefix(name, escapePrefix) {
				t.Errorf("%s: %q goes to the server", name, values)
			}
		}
		if err := sent.Validate(); err != nil {
			t.Error(err)
		}
		again := copyOf(&amqp.Delivery{Headers: sent})
		for _, table := range []amqp.Table{sent, again.Headers} {
			got := decodeHeader(table)
			if !slices.Equal(got[name], m.Header[name]) || got.Get("single") != value || got.Get(broker.HeaderClass) != "batch" || len(got) != 3 {
				t.Errorf("%s: %q became %q", name, value, got)
			}
		}
	})
}

// FuzzForeignHeader decodes tables of every type that a client can write.
func FuzzForeignHeader(f *testing.F) {
	for kind := range byte(kinds) {
		f.Add([]byte{kind, 1, 2, 3, 4, 5, 6, 7, 8}, "x-delivery-count")
		f.Add([]byte{kind, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfb}, headerAttempts)
	}
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		table := amqp.Table{name: anyValue(bytes.NewReader(data), 0)}
		if err := table.Validate(); err != nil {
			t.Skip()
		}
		d := &amqp.Delivery{Headers: table}
		header := decodeHeader(table)
		if _, ok := header[name]; ok == reserved(name) && !strings.HasPrefix(name, escapePrefix) {
			t.Errorf("%q: passed on: %v, and reserved: %v", name, ok, reserved(name))
		}
		for name, values := range header {
			if list, ok := table[name].([]any); ok && len(list) != len(values) {
				t.Errorf("%q: %d values became %d", name, len(list), len(values))
			}
		}
		if n := number(table, name); n != 0 && format(table[name]) == "" {
			t.Errorf("number %d of nothing", n)
		}
		d.Timestamp, _ = table[name].(time.Time)
		for _, header := range []string{name, headerAttempts, headerDeliveries, headerAcquisitions, headerPublished, headerDied} {
			d.Headers = amqp.Table{header: table[name]}
			if n := attempts(d); n < 0 || n > 1<<32 {
				t.Errorf("%s: delivered %d times", header, n)
			}
			for _, at := range []time.Time{published(d), newDeadLetter(d).Died} {
				if _, err := at.MarshalJSON(); err != nil || at.After(time.Now()) {
					t.Errorf("%s: the time %v: %v", header, at, err)
				}
			}
		}
		copyOf(d)
	})
}

// kinds is how many types anyValue makes.
const kinds = 17

// anyValue reads a value of any type that a table may have.
func anyValue(r *bytes.Reader, depth int) any {
	kind, err := r.ReadByte()
	if err != nil || depth > 4 {
		return nil
	}
	var raw [8]byte
	_, _ = r.Read(raw[:])
	n := binary.BigEndian.Uint64(raw[:])
	switch kind % kinds {
	case 1:
		return n%2 == 0
	case 2:
		return byte(n)
	case 3:
		return int8(n)
	case 4:
		return int16(n)
	case 5:
		return int32(n)
	case 6:
		return int64(n)
	case 7:
		return uint16(n)
	case 8:
		return uint32(n)
	case 9:
		return math.Float32frombits(uint32(n))
	case 10:
		return math.Float64frombits(n)
	case 11:
		return amqp.Decimal{Scale: uint8(n), Value: int32(n >> 8)}
	case 12:
		return string(raw[:])
	case 13:
		return raw[:]
	case 14:
		return time.Unix(int64(n>>30), 0)
	case 15:
		return []any{anyValue(r, depth+1), anyValue(r, depth+1)}
	case 16:
		return amqp.Table{string(raw[:2]): anyValue(r, depth+1)}
	}
	return nil
}
