package jaegerquery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"overtake/tracing"
)

const (
	// patience bounds one request: a search in a large storage takes seconds.
	patience = time.Minute
	// mostAnswer bounds one answer, decompressed.
	mostAnswer = 64 << 20
)

// ErrNotFound is that Jaeger has no such trace.
var ErrNotFound = errors.New("no such trace")

// errWho is that somebody wants to know who asks.
var errWho = errors.New("give who you are in the address: http://USER:PASSWORD@HOST")

// Client asks one Jaeger. It may be used by several goroutines.
type Client struct {
	base *url.URL // without a slash at its end
	http http.Client
}

// New returns a client of the Jaeger whose pages are at base, such as
// http://127.0.0.1:16686 or https://user:password@example.org/jaeger.
func New(base string) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%q is not the address of Jaeger's pages, want one such as http://127.0.0.1:16686", base)
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), ""
	return &Client{base: u, http: http.Client{Timeout: patience}}, nil
}

// ParseID reads the id of a trace as logs, headers and Jaeger write it: up to 32
// hexadecimal digits, with or without leading zeros.
func ParseID(text string) (id tracing.TraceID, err error) {
	if err = decodeID(id[:], text); err != nil || id == (tracing.TraceID{}) {
		return tracing.TraceID{}, fmt.Errorf("%q is not the id of a trace, want up to 32 hexadecimal digits, not all 0", text)
	}
	return id, nil
}

// formatID is the id as Jaeger writes it: one of 64 bits has 16 digits.
func formatID(id tracing.TraceID) string {
	return strings.TrimPrefix(id.String(), "0000000000000000")
}

// Link is the address of Jaeger's page about a trace, without a password.
func (c *Client) Link(id tracing.TraceID) string {
	page := *c.base.JoinPath("trace", formatID(id))
	page.User = nil
	return page.String()
}

// String is the address of the Jaeger, without a password.
func (c *Client) String() string {
	base := *c.base
	base.User = nil
	return base.String()
}

// Reach says why a Jaeger is not there. One that wants to know who asks is: a browser
// may have that.
func (c *Client) Reach(ctx context.Context) error {
	err := ask(ctx, c, func(string) {}, nil, "api", "services")
	if errors.Is(err, errWho) {
		return nil
	}
	return err
}

// Trace returns one trace, and an error that is ErrNotFound if Jaeger has none
// with this id.
func (c *Client) Trace(ctx context.Context, id tracing.TraceID) (Trace, error) {
	traces, err := c.traces(ctx, nil, "api", "traces", formatID(id))
	switch {
	case err != nil:
		return Trace{}, err
	case len(traces) == 0:
		return Trace{}, fmt.Errorf("jaeger: trace %s: %w", formatID(id), ErrNotFound)
	case traces[0].ID != id:
		return Trace{}, fmt.Errorf("jaeger: %s was asked for trace %s and answered with trace %s; is something in front of it that keeps answers?", c, formatID(id), formatID(traces[0].ID))
	}
	return traces[0], nil
}

// services returns the services that Jaeger knows, and of them those that have
// spans of Overtake: there is none without waiting, be it for no time at all.
func (c *Client) services(ctx context.Context) (ours, all []string, err error) {
	if err := ask(ctx, c, func(service string) { all = append(all, service) }, nil, "api", "services"); err != nil {
		return nil, nil, err
	}
	slices.Sort(all)
	for _, service := range all {
		own := false
		err := ask(ctx, c, func(o struct{ Name string }) { own = own || strings.HasPrefix(o.Name, ownPrefix) },
			url.Values{"service": {service}}, "api", "operations")
		if err != nil {
			return nil, nil, err
		}
		if own {
			ours = append(ours, service)
		}
	}
	return ours, all, nil
}

// traces asks for traces.
func (c *Client) traces(ctx context.Context, query url.Values, path ...string) (traces []Trace, err error) {
	err = ask(ctx, c, func(j traceJSON) {
		if trace, ok := j.trace(); ok {
			traces = append(traces, trace)
		}
	}, query, path...)
	return traces, err
}

// ask asks for path and calls add for each element of the answer's list.
func ask[T any](ctx context.Context, c *Client, add func(T), query url.Values, path ...string) error {
	response, err := c.get(ctx, query, path...)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body := &bounded{source: response.Body, left: mostAnswer}
	good, elements := response.StatusCode == http.StatusOK, 0
	if good && strings.HasPrefix(response.Header.Get("Content-Type"), "text/html") {
		return c.notJaeger(errors.New("it answered with a page in HTML"))
	}
	complaints, err := readList(body, func(element T) {
		if elements++; good {
			add(element)
		}
	})
	switch {
	case errors.Is(body.err, errTooLong):
		return fmt.Errorf("jaeger: %s: the answer is longer than %d MiB; look back for less time with --since, or for fewer traces with --slowest", c, mostAnswer>>20)
	case body.err != nil && ctx.Err() != nil:
		return fmt.Errorf("jaeger: %s: %w", c, context.Cause(ctx))
	case body.err != nil:
		return fmt.Errorf("jaeger: %s: reading the answer: %w; try again", c, body.err)
	case !good:
		return c.refused(response, complaints)
	case err != nil:
		return c.notJaeger(err)
	case elements == 0 && len(complaints) > 0: // beside data, they are about a part of it
		return c.refused(response, complaints)
	}
	return nil
}

var errTooLong = errors.New("too long")

// bounded reads an answer up to a length, and keeps why it could not be read.
type bounded struct {
	source io.Reader
	left   int
	err    error
}

// Read fills p if it can: a json.Decoder looks anew at all the space that it has
// when more of it comes.
func (b *bounded) Read(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		if b.left == 0 {
			err = errTooLong
			break
		}
		var more int
		more, err = b.source.Read(p[n:min(len(p), n+b.left)])
		n, b.left = n+more, b.left-more
	}
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

// get asks for path. The caller closes the body.
func (c *Client) get(ctx context.Context, query url.Values, path ...string) (*http.Response, error) {
	target := c.base.JoinPath(path...)
	target.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("jaeger: %s: %w", c, err)
	}
	request.Header.Set("Accept", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("jaeger: %s: %w", c, context.Cause(ctx))
		}
		if timeout, ok := errors.AsType[interface {
			error
			Timeout() bool
		}](err); ok && timeout.Timeout() {
			return nil, fmt.Errorf("jaeger: %w; if it searches that long, look back for less time with --since", err)
		}
		return nil, fmt.Errorf("jaeger: %w; is it running there? Its pages and its query API are usually on port 16686", err)
	}
	return response, nil
}

// refused is the error of an answer without data.
func (c *Client) refused(response *http.Response, complaints []errorJSON) error {
	said, code := "", response.StatusCode
	if len(complaints) > 0 {
		said, code = printable(complaints[0].Msg), cmp.Or(complaints[0].Code, code)
	}
	switch {
	case response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden:
		return fmt.Errorf("jaeger: %s answered %s: %w", c, response.Status, errWho)
	case code == http.StatusNotFound && said != "":
		return fmt.Errorf("jaeger: %s: %w", said, ErrNotFound)
	case said != "":
		return fmt.Errorf("jaeger: %s answered %s: %s; its log may say more, and a shorter --since is easier to search", c, response.Status, said)
	case response.StatusCode >= http.StatusInternalServerError:
		return fmt.Errorf("jaeger: %s answered %s: try again when it is up, or what stands in front of it", c, response.Status)
	}
	return c.notJaeger(fmt.Errorf("it answered %s", response.Status))
}

// notJaeger is the error of an answer that Jaeger would not give.
func (c *Client) notJaeger(err error) error {
	return fmt.Errorf("jaeger: %s is not Jaeger's query API: %w; that is usually on port 16686 (4317, 4318 and 14268 only take spans), and below a path if Jaeger has --query.base-path", c, err)
}
