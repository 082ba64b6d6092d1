package console

import (
	"strconv"
	"strings"
	"time"
)

const (
	// mostMetrics is how many metrics of a Server-Timing are shown.
	mostMetrics = 8
	// mostMetricText is how long a name or a description may be.
	mostMetricText = 100
	// longestMetric is the longest time that is believed.
	longestMetric = 24 * time.Hour
)

// Metric is one metric of Server-Timing with a duration.
type Metric struct {
	Name, Description string
	Duration          time.Duration
}

// ParseTiming reads what the field Server-Timing says (W3C Server Timing, section 3.1):
// the first metrics that have a duration. What can't be read is left out.
func ParseTiming(value string) (metrics []Metric) {
	for value != "" && len(metrics) < mostMetrics {
		var element string
		element, value = cutUnquoted(value, ',')
		name, params := cutUnquoted(element, ';')
		m := Metric{Name: clip(strings.TrimSpace(name))}
		timed := false
		for params != "" {
			var param string
			param, params = cutUnquoted(params, ';')
			key, text, _ := strings.Cut(param, "=")
			text = unquote(strings.TrimSpace(text))
			switch strings.ToLower(strings.TrimSpace(key)) {
			case "dur":
				ms, err := strconv.ParseFloat(text, 64)
				if timed = err == nil && ms >= 0 && ms <= float64(longestMetric.Milliseconds()); timed {
					m.Duration = time.Duration(ms * float64(time.Millisecond))
				}
			case "desc":
				m.Description = clip(text)
			}
		}
		if timed && m.Name != "" {
			metrics = append(metrics, m)
		}
	}
	return metrics
}

// cutUnquoted cuts s at the first sep that is not in a quoted string (RFC 9110 section
// 5.6.4).
func cutUnquoted(s string, sep byte) (before, after string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == '\\' && quoted:
			i++
		case s[i] == sep && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// unquote takes the quotes and backslashes off a quoted string; a token stays.
func unquote(s string) string {
	inner, ok := strings.CutPrefix(s, `"`)
	if !ok {
		return s
	}
	var text strings.Builder
	for i := 0; i < len(inner) && inner[i] != '"'; i++ {
		if inner[i] == '\\' && i+1 < len(inner) {
			i++
		}
		text.WriteByte(inner[i])
	}
	return text.String()
}

func clip(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), mostMetricText)], "")
}
