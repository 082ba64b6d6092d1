package config

import (
	"strconv"
	"strings"

	"overtake/classifier/strictyaml"
)

// String formats the reserve as it is written.
func (r Reserve) String() string {
	switch {
	case r.Auto:
		return "auto"
	case r.Share != 0:
		return r.Share.String()
	}
	return strconv.Itoa(r.Slots)
}

// Wanted implements [strictyaml.Wanter].
func (Reserve) Wanted() string { return "a reserve" }

// UnmarshalText reads auto, a number of slots, or a share of the limit.
func (r *Reserve) UnmarshalText(text []byte) error {
	switch t := string(text); {
	case t == "auto":
		*r = Reserve{Auto: true}
	case strings.HasSuffix(t, "%"):
		var share strictyaml.Percent
		if err := share.UnmarshalText(text); err != nil {
			return err
		}
		*r = Reserve{Share: share}
	default:
		n, err := strconv.Atoi(t)
		if err != nil || n < 0 {
			return strictyaml.Mistake{What: "is not a reserve", Hint: "write auto, a number of slots such as 4, or a share such as 10%"}
		}
		*r = Reserve{Slots: n}
	}
	return nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = Secret(text)
	return nil
}

// String hides the secret.
func (s Secret) String() string { return hidden }

// hidden is what is shown for a secret.
const hidden = "xxxxx"
