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
	s = trim(s)
	if len(s) != deadlineDigits || s[0] < '1' || s[0] > '9' {
		return time.Time{}
	}
	ms, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// formatDeadline returns "" for the zero time.
func formatDeadline(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return strconv.FormatInt(t.UnixMilli(), 10)
}
