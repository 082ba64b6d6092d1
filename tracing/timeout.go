package tracing

import (
	"strconv"
	"time"
)

// extractDeadline takes the earliest of the deadline and the timeouts that came.
func (t *Trail) extractDeadline(f *found, now time.Time) {
	t.Deadline = parseDeadline(f.once(fieldDeadline))
	var timeout time.Duration
	if timeout, t.grpcTimeout = parseGRPCTimeout(f.once(fieldGRPCTimeout)); t.grpcTimeout {
		t.expire(now.Add(timeout))
	}
	if timeout, t.envoyTimeout = parseEnvoyTimeout(f.once(fieldEnvoyTimeout)); t.envoyTimeout {
		t.expire(now.Add(timeout))
	}
}

func (t *Trail) expire(deadline time.Time) {
	if t.Deadline.IsZero() || deadline.Before(t.Deadline) {
		t.Deadline = deadline
	}
}

// stampTimeouts writes the timeouts that came, shortened to what remains, in
// memory beyond b.
func (t *Trail) stampTimeouts(c Carrier, b []byte, now time.Time) []byte {
	start, left := len(b), t.Deadline.Sub(now)
	if t.grpcTimeout {
		b = appendGRPCTimeout(b, left)
	}
	t.set(c, fieldGRPCTimeout, HeaderGRPCTimeout, alias(b[start:]))
	b = b[:start]
	if t.envoyTimeout {
		b = strconv.AppendInt(b, max(left.Milliseconds(), 1), 10)
	}
	t.set(c, fieldEnvoyTimeout, HeaderEnvoyTimeout, alias(b[start:]))
	return b[:start]
}

// maxTimeout is as good as none, and leaves a deadline that can be written.
const maxTimeout = 100 * 365 * 24 * time.Hour

// timeoutDigits is how many digits gRPC allows.
const timeoutDigits = 8

// grpcUnits are the units of grpc-timeout, the finest first.
var grpcUnits = [...]struct {
	letter byte
	length time.Duration
}{
	{'n', time.Nanosecond}, {'u', time.Microsecond}, {'m', time.Millisecond},
	{'S', time.Second}, {'M', time.Minute}, {'H', time.Hour},
}

// parseGRPCTimeout reads up to 8 digits and a unit. Zero is what clients write
// whose deadline has passed.
func parseGRPCTimeout(s string) (time.Duration, bool) {
	if len(s) < 2 {
		return 0, false
	}
	n, ok := parseDigits(s[:len(s)-1], timeoutDigits)
	if !ok {
		return 0, false
	}
	for _, unit := range grpcUnits {
		if unit.letter == s[len(s)-1] {
			if n > int64(maxTimeout/unit.length) {
				return maxTimeout, true
			}
			return time.Duration(n) * unit.length, true
		}
	}
	return 0, false
}

// appendGRPCTimeout appends d in the finest unit that has room for it. It rounds
// down, so that a deadline never grows on the way.
func appendGRPCTimeout(b []byte, d time.Duration) []byte {
	d = max(d, 1)
	for _, unit := range grpcUnits {
		if n := int64(d / unit.length); n < 1e8 {
			return append(strconv.AppendInt(b, n, 10), unit.letter)
		}
	}
	return b // not reached: 1e8 hours are more than a Duration holds
}

// parseEnvoyTimeout reads milliseconds. For Envoy, 0 is no timeout.
func parseEnvoyTimeout(s string) (time.Duration, bool) {
	n, ok := parseDigits(s, 18)
	return time.Duration(min(n, maxTimeout.Milliseconds())) * time.Millisecond, ok && n > 0
}

// parseDigits reads a number of 1 to most digits, and nothing else.
func parseDigits(s string, most int) (n int64, ok bool) {
	if s == "" || len(s) > most {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int64(s[i]-'0')
	}
	return n, true
}
