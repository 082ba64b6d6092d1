package waterfall

import (
	"fmt"
	"strconv"
	"strings"

	"overtake/tracing"
)

// try describes a client span of Overtake: which attempt it is, how it ended, and at
// whom.
func (n *node) try() string {
	number := 1
	if resent, err := strconv.Atoi(n.Text("http.request.resend_count")); err == nil && resent < 1000 {
		number = resent + 1
	}
	return strings.Join(strings.Fields(fmt.Sprintf("try %d %s %s", number, n.Text("http.response.status_code"), n.server())), " ")
}

// server is whom a client span calls, "" if that is not known.
func (n *node) server() string {
	server := n.Text("server.address")
	if port := n.Text("server.port"); server != "" && port != "" {
		server += ":" + port
	}
	return server
}

// failed reports whether the span tells of a failure or a refusal.
func (n *node) failed() bool { return n.Failure != "" || n.reason() != "" }

// details are the lines below the row of a span: what it tells beside its time.
func (n *node) details() []string {
	var lines []string
	if n.failed() {
		lines = append(lines, n.trouble())
	}
	if !n.own {
		return lines
	}
	switch {
	case n.Name == queueSpan:
		lines = append(lines, n.facts([]fact{
			{key: "overtake.queue.ahead", format: "%s ahead on arrival", none: true},
			{key: "overtake.queue.overtaken", format: "overtaken by %s"},
			{key: "overtake.queue.overtaking", format: "overtook %s"},
			{key: "overtake.limit", format: "limit %s"},
			{key: "overtake.reserve", format: "reserve %s"},
		}))
	case n.hop():
		lines = append(lines, n.facts([]fact{
			{key: "url.path", format: "path %s"},
			{key: "overtake.listener", format: "listener %s"},
			{key: "overtake.role", format: "role %s"},
			{key: "overtake.rule", format: "rule %s"},
			{key: "overtake.provenance", format: "class found by %s"},
			{key: "messaging.message.id", format: "message %s"},
			{key: "overtake.attempt", format: "attempt %s"},
			{key: "overtake.job.state", format: "job is %s"},
			{key: "overtake.kept", format: "kept because %s"},
		}))
		if n.paused > 0 {
			lines = append(lines, fmt.Sprintf("after a pause of %s since attempt %d", took(n.paused), n.attempt()-1))
		}
	}
	if n.Kind == tracing.Producer {
		lines = append(lines, n.facts([]fact{{key: "messaging.message.id", format: "message %s"}}))
	}
	if n.changed() {
		lines = append(lines, fmt.Sprintf("class %s, %s until here", clean(n.class), clean(n.was)))
	}
	kept := lines[:0]
	for _, line := range lines {
		if line != "" {
			kept = append(kept, line)
		}
	}
	return kept
}

// trouble says what went wrong.
func (n *node) trouble() string {
	reason := n.reason()
	switch {
	case reason == "":
		return clean("failed: " + n.Failure)
	case n.Failure == "" || n.Failure == reason || n.Failure == "shed" || n.Failure == "failed":
		return clean("refused: " + reason)
	}
	return clean("refused: " + reason + " (" + n.Failure + ")")
}

// fact is an attribute and how it is told.
type fact struct {
	key, format string
	none        bool // tell it also when it is 0
}

// facts tells what is known of facts.
func (n *node) facts(facts []fact) string {
	var told []string
	for _, f := range facts {
		if value := n.Text(f.key); value != "" && (value != "0" || f.none) {
			told = append(told, fmt.Sprintf(f.format, clean(value)))
		}
	}
	return strings.Join(told, ", ")
}
