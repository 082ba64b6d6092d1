package strictyaml

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestUnitsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := Size(rapid.Int64Min(0).Draw(t, "size"))
		var sizeBack Size
		if err := sizeBack.UnmarshalText([]byte(size.String())); err != nil || sizeBack != size {
			t.Fatalf("%d is written %s, read %d, %v", int64(size), size, int64(sizeBack), err)
		}
		share := Percent(rapid.IntRange(0, 10_000).Draw(t, "share"))
		var shareBack Percent
		if err := shareBack.UnmarshalText([]byte(share.String())); err != nil || shareBack != share {
			t.Fatalf("%d is written %s, read %d, %v", int(share), share, int(shareBack), err)
		}
		d := time.Duration(rapid.Int64Min(0).Draw(t, "duration"))
		if back, err := ParseDuration(d.String()); err != nil || back != d {
			t.Fatalf("%d is written %s, read %d, %v", d, d, back, err)
		}
	})
}
