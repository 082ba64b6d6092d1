package classifier

import "strings"

// tokenBytes are the bytes of a token.
var tokenBytes = func() (set [256]bool) {
	for c := range len(set) {
		b := byte(c)
		alnum := '0' <= b && b <= '9' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z'
		set[b] = alnum || strings.IndexByte("!#$%&'*+-.^_`|~", b) >= 0
	}
	return set
}()

// IsToken reports whether s is a token of RFC 9110 section 5.6.2, as the names of
// header fields and methods are. Every hop asks that, of HTTP, messages and
// baggage, so it is where all of them can.
func IsToken(s string) bool {
	for i := range len(s) {
		if !IsTokenByte(s[i]) {
			return false
		}
	}
	return s != ""
}

// IsTokenByte reports whether a token may have c in it.
func IsTokenByte(c byte) bool { return tokenBytes[c] }
