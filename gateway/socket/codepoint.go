package socket

import "strconv"

// codePoints are those that have a name, as people look for them. Where a number has
// two names, the first is the usual one.
var codePoints = []struct {
	name string
	code int
}{
	{"LE", 1},                           // RFC 8622
	{"DF", 0},                           // RFC 2474 section 4.1
	{"EF", 46},                          // RFC 3246
	{"VA", 44},                          // RFC 5865
	{"CS0", 0}, {"CS1", 8}, {"CS2", 16}, // RFC 2474 section 4.2.2
	{"CS3", 24}, {"CS4", 32}, {"CS5", 40}, {"CS6", 48}, {"CS7", 56},
	{"AF11", 10}, {"AF12", 12}, {"AF13", 14}, // RFC 2597 section 6
	{"AF21", 18}, {"AF22", 20}, {"AF23", 22},
	{"AF31", 26}, {"AF32", 28}, {"AF33", 30},
	{"AF41", 34}, {"AF42", 36}, {"AF43", 38},
}

// CodePoints returns the names of code points.
func CodePoints() []string {
	names := make([]string, len(codePoints))
	for i, c := range codePoints {
		names[i] = c.name
	}
	return names
}

// CodePoint returns the code point with that name, such as 18 for AF21.
func CodePoint(name string) (code int, ok bool) {
	for _, c := range codePoints {
		if c.name == name {
			return c.code, true
		}
	}
	return 0, false
}

// CodePointName returns the usual name of a code point, or its number if it has none.
func CodePointName(code int) string {
	for _, c := range codePoints {
		if c.code == code {
			return c.name
		}
	}
	return strconv.Itoa(code)
}
