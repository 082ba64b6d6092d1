package config

import (
	"reflect"
	"testing"
	"time"

	"overtake/gateway/socket"
)

// TestSocketOptions: the kernel is told what the file says, in its own units.
func TestSocketOptions(t *testing.T) {
	c, err := Parse("overtake.yaml", []byte(`
classes:
  - name: one
    socket: {priority: 6, dscp: AF21, mark: 0x10, congestion: bbr, notsent_lowat: 16KiB, max_pacing_rate: 10mbit, user_timeout: 30s}
  - {name: two, socket: {priority: 0, dscp: DF, mark: 0}}
  - {name: three}
`), lookup)
	if err != nil {
		t.Fatal(err)
	}
	want := []socket.Options{
		{
			Priority: new(6), DSCP: new(18), Mark: new(uint32(16)), Congestion: "bbr", NotSentLowat: 16384,
			MaxPacingRate: 1_250_000, UserTimeout: 30 * time.Second,
		},
		{Priority: new(0), DSCP: new(0), Mark: new(uint32(0))},
		{},
	}
	if got := c.SocketOptions(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	checkRoundTrip(t, c)
}
