package loadgen

import (
	"slices"
	"strconv"

	"github.com/valyala/fasthttp"
)

// Statuses are final statuses of HTTP: one, such as 304, or, below 10, all of a class,
// such as 2 for 2xx (RFC 9110, section 15). 0 is none.
type Statuses uint16

// ParseStatuses reads 200 to 599, or 2xx to 5xx. Interim statuses, 1xx, end no request.
func ParseStatuses(text string) (_ Statuses, ok bool) {
	if len(text) != 3 || text[0] < '2' || text[0] > '5' {
		return 0, false
	}
	if text[1:] == "xx" {
		return Statuses(text[0] - '0'), true
	}
	n, err := strconv.ParseUint(text, 10, 16)
	return Statuses(n), err == nil
}

// String returns what [ParseStatuses] reads.
func (s Statuses) String() string {
	if s < 10 {
		return strconv.Itoa(int(s)) + "xx"
	}
	return strconv.Itoa(int(s))
}

// Has reports whether all of other are in s.
func (s Statuses) Has(other Statuses) bool { return s == other || s < 10 && other/100 == s }

// defaultSuccess is what a request succeeds with whose class does not say so, and
// jobSuccess is what one does that posts a job.
var defaultSuccess, jobSuccess = []Statuses{2}, []Statuses{fasthttp.StatusAccepted}

// success are the statuses with which requests of the class succeed.
func (s *Class) success() []Statuses {
	switch {
	case s.Job:
		return jobSuccess
	case len(s.Success) > 0:
		return s.Success
	}
	return defaultSuccess
}

// succeeds reports whether a status is one of these; nil is 2xx.
func succeeds(statuses []Statuses, status int) bool {
	if statuses == nil {
		statuses = defaultSuccess
	}
	return slices.ContainsFunc(statuses, func(s Statuses) bool { return s.Has(Statuses(status)) })
}

// texts are the statuses as they are written.
func texts(statuses []Statuses) (all []string) {
	for _, s := range statuses {
		all = append(all, s.String())
	}
	return all
}
