package nats

import (
	"slices"
	"strings"
	"testing"

	"overtake/broker"
)

// FuzzHeader checks that what a publisher may send comes back, and that none
// of it reaches the server under a name that the server acts upon.
func FuzzHeader(f *testing.F) {
	for _, name := range []string{"content-type", "Status", "Nats-Msg-Id", "nats-ttl", headerID, escapePrefix, escapePrefix + "Status"} {
		f.Add("id", name, "value")
	}
	f.Fuzz(func(t *testing.T, id, name, value string) {
		m := &broker.Message{ID: id, Class: "batch", Header: broker.Header{name: {value, "second"}}}
		if m.Validate() != nil || name == broker.HeaderClass {
			t.Skip()
		}
		sent := encodeHeader(m)
		for name, values := range sent {
			if reserved(name) && name != headerMsgID && !strings.HasPrefix(name, escapePrefix) {
				t.Errorf("%s: %q goes to the server", name, values)
			}
		}
		gotID, got := decodeHeader(sent)
		if gotID != id || !slices.Equal(got[name], m.Header[name]) || got.Get(broker.HeaderClass) != "batch" || len(got) != 2 {
			t.Errorf("%s: %q of %s became %q of %s", name, value, id, got, gotID)
		}
	})
}
