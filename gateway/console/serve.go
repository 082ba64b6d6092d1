package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Error is an error with the status that it is answered with.
type Error struct {
	Status int
	Text   string // with the remedy
}

func (e *Error) Error() string { return e.Text }

// guarded sets the header fields that all answers have.
func guarded(w http.ResponseWriter, contentType string) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
}

// answer writes v as JSON.
func answer(w http.ResponseWriter, status int, v any) {
	text, err := json.Marshal(v)
	if err != nil { // a number that is none, which nobody makes
		status, text = http.StatusInternalServerError, []byte(`{"error":"the state can't be encoded; please report it"}`)
	}
	guarded(w, "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text) // the client's connection at most
}

// refuse answers with an error, as JSON.
func refuse(w http.ResponseWriter, err error) {
	status := http.StatusBadGateway
	if e, ok := errors.AsType[*Error](err); ok {
		status = e.Status
	}
	answer(w, status, map[string]string{"error": err.Error()})
}

func (c *Console) serveState(w http.ResponseWriter, r *http.Request) {
	f, err := c.hub.whole()
	if err != nil {
		refuse(w, err)
		return
	}
	guarded(w, "application/json")
	w.Header().Set("Vary", "Accept-Encoding")
	text := f.text
	if acceptsGzip(r) {
		w.Header().Set("Content-Encoding", "gzip")
		var zip gzipped
		zip.add(f.text)
		text = slices.Concat(gzipHead, f.deflated(), zip.end())
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text) // the client's connection at most
}

// acceptsGzip reports whether an answer may be compressed: RFC 9110 section 12.5.3.
func acceptsGzip(r *http.Request) bool {
	for _, line := range r.Header.Values("Accept-Encoding") {
		for coding := range strings.SplitSeq(line, ",") {
			name, weight, _ := strings.Cut(coding, ";")
			if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
				continue
			}
			q, ok := strings.CutPrefix(strings.TrimSpace(weight), "q=")
			n, err := strconv.ParseFloat(q, 64)
			return !ok || err == nil && n > 0
		}
	}
	return false
}

// tracePatience is how long a trace is waited for.
const tracePatience = 5 * time.Second

func (c *Console) serveTrace(w http.ResponseWriter, r *http.Request) {
	select {
	case c.tracing <- struct{}{}:
		defer func() { <-c.tracing }()
	default:
		refuse(w, &Error{http.StatusServiceUnavailable, fmt.Sprintf("%d traces are being asked for already; try again in a moment", mostTraces)})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), tracePatience)
	defer cancel()
	trace, err := c.options.Trace(ctx, r.URL.Query().Get("id"))
	if err != nil {
		refuse(w, err)
		return
	}
	answer(w, http.StatusOK, trace)
}
