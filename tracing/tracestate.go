package tracing

import (
	"slices"
	"strings"
)

// The limits of tracestate, W3C Trace Context section 3.3.1.
const (
	maxStates     = 32
	maxStateKey   = 256
	maxTenant     = 241 // of tenant@system
	maxSystem     = 14
	maxStateValue = 256
)

// parseTraceState returns the tracestate to pass on: s without the space around
// it. If a member is not valid, or there are more than 32, nothing is left: the
// specification allows to drop all of it, and its test suite asks for that. Of
// several members with one key the first is kept, which is the latest.
//
// Keys are those of Level 1, with at most one @, and, as Level 2 has it, may all
// begin with a digit.
func parseTraceState(s string) string {
	if s == "" {
		return ""
	}
	var keys [maxStates]string
	n := 0
	kept := neighbours{s: s}
	for start := 0; start <= len(s); {
		end := memberEnd(s, start)
		if member := trim(s[start:end]); member != "" {
			key, value, ok := strings.Cut(member, "=")
			if !ok || !isStateKey(key) || !isStateValue(value) || n == maxStates {
				return ""
			}
			if !slices.Contains(keys[:n], key) {
				kept.add(start, end)
			}
			keys[n] = key
			n++
		}
		start = end + 1
	}
	return trim(kept.String())
}

// isStateKey reports whether s is key or tenant@system.
func isStateKey(s string) bool {
	tenant, system, multi := strings.Cut(s, "@")
	if !multi {
		return len(s) <= maxStateKey && startsStateKey(s) && consistsOf(s, &stateKeyBytes)
	}
	return len(tenant) <= maxTenant && startsStateKey(tenant) && consistsOf(tenant, &stateKeyBytes) &&
		len(system) <= maxSystem && startsStateKey(system) && system[0] >= 'a' && consistsOf(system, &stateKeyBytes)
}

func startsStateKey(s string) bool {
	return s != "" && (s[0] >= 'a' && s[0] <= 'z' || s[0] >= '0' && s[0] <= '9')
}

// isStateValue reports whether s, without the space at its end, is a value.
func isStateValue(s string) bool {
	return s != "" && len(s) <= maxStateValue && consistsOf(s, &stateValueBytes)
}

var (
	stateKeyBytes   = byteSet("0123456789abcdefghijklmnopqrstuvwxyz_-*/")
	stateValueBytes = func() (set [256]bool) {
		for c := ' '; c <= '~'; c++ {
			set[c] = c != ',' && c != '='
		}
		return set
	}()
)
