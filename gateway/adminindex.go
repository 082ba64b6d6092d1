package gateway

import (
	"fmt"
	"html"
	"net/http"
	"strings"
)

// adminPaths is what the admin listener has for people, in the order of docs/operating.md.
var adminPaths = []struct{ path, shows string }{
	{"/healthz", "whether the process serves"},
	{"/readyz", "whether new requests will be served, and why not"},
	{"/metrics", "metrics, for Prometheus"},
	{"/console", "a page that shows all of it, live"},
	{"/debug/queues", "limits, servers, and who waits where"},
	{"/debug/explain?method=GET&url=/", "what would be done with a request, and why"},
	{"/debug/config", "the configuration in effect"},
	{"/debug/pprof/", "Go profiles"},
	{"POST /admin/reload", "read the configuration again"},
	{"POST /admin/queues/QUEUE/pause", "deliver nothing from a queue; back with /resume"},
	{"POST /admin/queues/QUEUE/CLASS/pause", "deliver nothing from a lane; back with /resume"},
	{"POST /admin/log-level?level=debug", "log more or less"},
}

// adminIndex lists what there is. It is made to be read as it is, too, by those who ask
// with curl.
func adminIndex(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	var b strings.Builder
	b.WriteString("<!doctype html><html lang=\"en\"><title>Overtake: admin</title><meta name=\"color-scheme\" content=\"light dark\"><pre>\n")
	for _, p := range adminPaths {
		text, indent := html.EscapeString(p.path), strings.Repeat(" ", max(2, 40-len(p.path)))
		if after, ok := strings.CutPrefix(p.path, "/"); ok { // relative, as there may be a proxy before it
			text = fmt.Sprintf("<a href=\"%s\">%s</a>", html.EscapeString(after), text)
		}
		fmt.Fprintf(&b, "%s%s%s\n", text, indent, html.EscapeString(p.shows))
	}
	b.WriteString("</pre>\nWhat is POST takes the token of admin_token: Authorization: Bearer TOKEN\n")
	_, _ = w.Write([]byte(b.String())) // the client's connection at most
}
