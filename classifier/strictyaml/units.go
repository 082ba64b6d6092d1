package strictyaml

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, written with a unit: 512B, 64KiB, 10MB.
type Size int64

// Percent is a share in hundredths of a percent: 10% is 1000.
type Percent int

// sizeUnits are the units of a [Size], longest suffix first where one ends
// with another.
var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1},
}

// String formats the size in the unit that takes the smallest whole number.
func (s Size) String() string {
	number, unit := int64(s), "B"
	for _, u := range sizeUnits {
		if n := int64(s) / u.bytes; n > 0 && n*u.bytes == int64(s) && n < number {
			number, unit = n, u.name
		}
	}
	return strconv.FormatInt(number, 10) + unit
}

// Wanted implements [Wanter].
func (Size) Wanted() string { return "a size" }

// UnmarshalText reads a whole number with a unit: 512B, 64KiB, 10MB. 0 needs
// no unit.
func (s *Size) UnmarshalText(text []byte) error {
	digits := strings.TrimRight(string(text), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	unit := strings.TrimSpace(string(text[len(digits):]))
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil {
		return Mistake{"is not a size", "write a whole number with a unit, such as 512B, 64KiB or 10MB"}
	}
	if unit == "" && n != 0 {
		return Mistake{"has no unit", fmt.Sprintf("write %dMiB or %dB", n, n)}
	}
	if n == 0 && unit == "" {
		*s = 0
		return nil
	}
	names := make([]string, len(sizeUnits))
	for i, u := range sizeUnits {
		names[i] = u.name
		if u.name != unit {
			continue
		}
		if n > uint64(math.MaxInt64/u.bytes) {
			return Mistake{"is too large", ""}
		}
		*s = Size(int64(n) * u.bytes)
		return nil
	}
	hint := Suggest(unit, names)
	for _, u := range sizeUnits { // 64M, 64Mi and 64mb: the letter says what is meant
		if strings.EqualFold(unit[:1], u.name[:1]) && u.name != "B" {
			hint = fmt.Sprintf("write %s%s", digits, u.name)
			break
		}
	}
	return Mistake{"has an unknown unit", hint}
}

// String formats the share with its sign: 10%, 0.5%.
func (p Percent) String() string {
	return strconv.FormatFloat(float64(p)/100, 'f', -1, 64) + "%"
}

// Wanted implements [Wanter].
func (Percent) Wanted() string { return "a percentage" }

// UnmarshalText reads a share from 0% to 100% with at most two decimals. 0
// needs no sign.
func (p *Percent) UnmarshalText(text []byte) error {
	digits, signed := strings.CutSuffix(string(text), "%")
	digits = strings.TrimSpace(digits)
	f, err := strconv.ParseFloat(digits, 64)
	hundredths := math.Round(f * 100)
	switch {
	case err != nil || strings.ContainsAny(digits, "xXpPeE_nN"):
		return Mistake{"is not a percentage", "write 10%"}
	case !signed && f != 0:
		return Mistake{"has no %", "write " + digits + "%"}
	case f < 0 || f > 100:
		return Mistake{"is out of range", "want 0% to 100%"}
	case math.Abs(hundredths-f*100) > 1e-6:
		return Mistake{"is too precise", "want at most two decimals"}
	}
	*p = Percent(hundredths)
	return nil
}

// ParseDuration reads a duration with units: 25ms, 1s, 1m30s. 0 needs none,
// and less is refused. Its errors are of type [Mistake].
func ParseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		if _, err := strconv.ParseFloat(text, 64); err == nil {
			return 0, Mistake{"has no unit", fmt.Sprintf("write %sms or %ss", text, text)}
		}
		return 0, Mistake{"is not a duration", "write a number with a unit: 25ms, 1s, 5m or 1h"}
	}
	if d < 0 {
		return 0, Mistake{"is negative", "want 0 or more"}
	}
	return d, nil
}

// parsePrefix reads a network. An address inside of a network is refused: it
// could mean the address or the network, and networks decide about trust.
func parsePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		return netip.Prefix{}, Mistake{"is an address, not a network", fmt.Sprintf("write %s/%d", addr, addr.BitLen())}
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, Mistake{"is not a network", "write 10.0.0.0/8 or fd00::/8"}
	}
	if p != p.Masked() {
		return netip.Prefix{}, Mistake{
			fmt.Sprintf("has address bits after the first %d", p.Bits()),
			fmt.Sprintf("write %s or %s/%d", p.Masked(), p.Addr(), p.Addr().BitLen()),
		}
	}
	return p, nil
}
