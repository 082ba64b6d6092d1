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

// TestCodePoints compares with the numbers that the IANA has registered.
func TestCodePoints(t *testing.T) {
	registered := map[string]int{
		"LE": 1, "DF": 0, "EF": 46, "VA": 44,
		"CS0": 0, "CS1": 8, "CS2": 16, "CS3": 24, "CS4": 32, "CS5": 40, "CS6": 48, "CS7": 56,
		"AF11": 10, "AF12": 12, "AF13": 14, "AF21": 18, "AF22": 20, "AF23": 22,
		"AF31": 26, "AF32": 28, "AF33": 30, "AF41": 34, "AF42": 36, "AF43": 38,
	}
	for _, name := range dscpNames {
		if want, known := registered[name]; !known || codePoint(name) != want {
			t.Errorf("%s is %d, want %d", name, codePoint(name), want)
		}
	}
	if len(dscpNames) != len(registered) {
		t.Errorf("%d names, want %d", len(dscpNames), len(registered))
	}
}
