package tracing

import (
	"strings"

	"overtake/classifier"
)

// classMember is the key of the baggage member that carries the class.
const classMember = "latency.class"

// The limits of W3C Baggage, section 3.3.2, less room for the class: what Stamp
// writes stays within 64 members and 8192 bytes, for class names of up to 32.
const (
	maxMembers      = 64 - 1
	maxBaggageBytes = 8192 - len(classMember+"=,") - 32
)

// parseBaggage takes the class out of a baggage. rest holds the other members,
// byte for byte, as a part of s where that is possible. Removed are
// members that are not valid, that are beyond the limits, and all that a reader
// could take for the class, however their key is written. class is the value of
// the first member whose key is exactly latency.class, or "".
func parseBaggage(s string) (rest, class string) {
	if s == "" {
		return "", ""
	}
	kept := neighbours{s: s}
	members, size := 0, 0
	for start := 0; start <= len(s); {
		end := memberEnd(s, start)
		key, value, valid := parseMember(s[start:end])
		fits := members < maxMembers && size+end-start <= maxBaggageBytes
		if key == classMember {
			if class == "" {
				class = value
			}
		} else if valid && fits && !looksLikeClass(key) {
			kept.add(start, end)
			members++
			size += end - start + len(",")
		}
		start = end + 1
	}
	return kept.String(), class
}

// neighbours joins members of s. As long as they follow each other, as they do
// when only the first ones were removed, they are a part of s and not copied.
type neighbours struct {
	s          string
	start, end int
	joined     []byte // once there was a gap
}

func (n *neighbours) add(start, end int) {
	switch {
	case n.end == 0: // the first one; a member is not empty
		n.start, n.end = start, end
	case n.joined == nil && start == n.end+len(","):
		n.end = end
	default:
		if n.joined == nil {
			n.joined = append(make([]byte, 0, len(n.s)), n.s[n.start:n.end]...)
		}
		n.joined = append(n.joined, ',')
		n.joined = append(n.joined, n.s[start:end]...)
	}
}

func (n *neighbours) String() string {
	if n.joined != nil {
		return string(n.joined)
	}
	return n.s[n.start:n.end]
}

// appendBaggage appends the members of Baggage to b, after the one for the class.
// That comes first, as readers with limits of their own drop what comes last.
func (t *Trail) appendBaggage(b []byte) []byte {
	if t.Class != "" {
		b = append(append(b, classMember+"="...), t.Class...)
		if t.Baggage != "" {
			b = append(b, ',')
		}
	}
	return append(b, t.Baggage...)
}

func memberEnd(s string, start int) int {
	if i := strings.IndexByte(s[start:], ','); i >= 0 {
		return start + i
	}
	return len(s)
}

// parseMember reads key=value;property;key=value, with optional space around
// each part (W3C Baggage, section 3.3.1).
func parseMember(member string) (key, value string, valid bool) {
	for i := range len(member) {
		if !classifier.IsTokenByte(member[i]) {
			if i > 0 && member[i] == '=' && isValue(member[i+1:]) {
				return member[:i], member[i+1:], true // as most are: no space, no properties
			}
			break
		}
	}
	pair, properties, more := strings.Cut(member, ";")
	key, value, valid = cutPair(pair)
	if !valid || !classifier.IsToken(key) || !isValue(value) {
		return "", "", false
	}
	for more {
		var property string
		property, properties, more = strings.Cut(properties, ";")
		name, value, _ := cutPair(property)
		if !classifier.IsToken(name) || !isValue(value) {
			return "", "", false
		}
	}
	return key, value, true
}

func cutPair(s string) (key, value string, ok bool) {
	key, value, ok = strings.Cut(s, "=")
	return trim(key), trim(value), ok
}

// looksLikeClass reports whether some reader may take key for latency.class:
// one that ignores case, or that decodes keys as URLs or forms are, even more
// than once, and then trims or cuts off what is not printable.
func looksLikeClass(key string) bool {
	for len(key) >= len(classMember) { // neither decoding nor trimming adds to it
		key = strings.TrimFunc(key, func(r rune) bool { return r <= ' ' || r == '+' || r > '~' })
		if strings.EqualFold(key, classMember) {
			return true
		}
		decoded := percentDecode(key)
		if decoded == key {
			return false
		}
		key = decoded
	}
	return false
}

// percentDecode decodes what can be decoded and leaves the rest.
func percentDecode(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	decoded := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if c := s[i]; c == '%' && i+2 < len(s) {
			high, low := hexValue[s[i+1]|0x20], hexValue[s[i+2]|0x20]
			if high|low <= 0xf {
				decoded = append(decoded, high<<4|low)
				i += 2
				continue
			}
		}
		decoded = append(decoded, s[i])
	}
	return string(decoded)
}

const alphanumeric = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// valueBytes are the baggage-octets: printable ASCII without space, quotes, comma,
// semicolon and backslash.
var valueBytes = byteSet(alphanumeric + "!#$%&'()*+-./:<=>?@[]^_`{|}~")

func isValue(s string) bool { return consistsOf(s, &valueBytes) }

func byteSet(members string) (set [256]bool) {
	for i := range len(members) {
		set[members[i]] = true
	}
	return set
}

func consistsOf(s string, set *[256]bool) bool {
	for i := range len(s) {
		if !set[s[i]] {
			return false
		}
	}
	return true
}

// trim removes the optional whitespace of HTTP fields, which is less than what
// strings.TrimSpace removes.
func trim(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}
