package tracing

import (
	"strconv"
	"time"
)

// deadlineDigits is how many digits a plausible deadline has: unix milliseconds
// of the years 2001 to 2286. All other numbers are some other unit, such as
// seconds, nanoseconds or a duration, and obeying them would shed or keep every
// request. There is no upper bound besides: a deadline only ever shrinks on the
// way, so a late one does no harm.
const deadlineDigits = 13

// parseDeadline returns the zero time for what is no plausible deadline.
func parseDeadline(s string) time.Time {
	ms, ok := parseDigits(s, deadlineDigits)
	if !ok || len(s) != deadlineDigits || s[0] == '0' {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// appendDeadline appends nothing for the zero time.
func appendDeadline(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	return strconv.AppendInt(b, t.UnixMilli(), 10)
}
