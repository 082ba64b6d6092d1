package loadgen

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// headerServerTiming is the field in which a server tells where time went.
const headerServerTiming = "Server-Timing"

// queueTime returns the dur of the metric "queue" in one Server-Timing field, in
// which metrics are separated by commas and have parameters after semicolons
// (W3C Server Timing, section 3):
//
//	Server-Timing: queue;desc="waited, in line";dur=12.5, app;dur=3
//
// It returns -1 if there is no such metric, or none with a usable dur. The first
// dur of the first such metric counts.
func queueTime(field string) time.Duration {
	for len(field) > 0 {
		var metric string
		metric, field = cutUnquoted(field, ',')
		name, params := cutUnquoted(metric, ';')
		if strings.Trim(name, " \t") != "queue" {
			continue
		}
		for len(params) > 0 {
			var param string
			param, params = cutUnquoted(params, ';')
			key, value, _ := strings.Cut(param, "=")
			if !strings.EqualFold(strings.Trim(key, " \t"), "dur") {
				continue
			}
			return parseDur(strings.Trim(value, " \t"))
		}
	}
	return -1
}

// cutUnquoted cuts s at the first sep outside of a quoted-string (RFC 9110,
// section 5.6.4). A quote that is never closed reaches to the end.
func cutUnquoted(s string, sep byte) (before, after string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == sep && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// parseDur reads milliseconds, also in quotes. It returns -1 for what is no
// duration between 0 and a day.
func parseDur(value string) time.Duration {
	if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
		value = value[1 : n-1]
	}
	ms, err := strconv.ParseFloat(value, 64)
	if err != nil || math.IsNaN(ms) || ms < 0 || ms > float64(24*time.Hour/time.Millisecond) {
		return -1
	}
	return time.Duration(ms * float64(time.Millisecond))
}
