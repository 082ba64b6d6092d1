package jaegerquery

import (
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
	// mostAnswer bounds the memory for one answer.
	mostAnswer = 256 << 20
)

// ErrNotFound is that Jaeger has no such trace.
var ErrNotFound = errors.New("no such trace")

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

// Trace returns one trace, and an error that is ErrNotFound if Jaeger has none
// with this id.
func (c *Client) Trace(ctx context.Context, id tracing.TraceID) (Trace, error) {
	traces, err := c.traces(ctx, nil, "api", "traces", formatID(id))
	switch {
	case err != nil:
		return Trace{}, err
	case len(traces) == 0:
		return Trace{}, fmt.Errorf("jaeger: trace %s: %w", formatID(id), ErrNotFound)
	}
	return traces[0], nil
}

// services returns the services that Jaeger knows, and of them those that have
// spans of Overtake: there is none without waiting, be it for no time at all.
func (c *Client) services(ctx context.Context) (ours, all []string, err error) {
	body, err := c.get(ctx, nil, "api", "services")
	if err != nil {
		return nil, nil, err
	}
	if all, err = readData[[]string](body); err != nil {
		return nil, nil, c.notJaeger(err)
	}
	slices.Sort(all)
	for _, service := range all {
		body, err := c.get(ctx, url.Values{"service": {service}}, "api", "operations")
		if err != nil {
			return nil, nil, err
		}
		operations, err := readData[[]struct{ Name string }](body)
		if err != nil {
			return nil, nil, c.notJaeger(err)
		}
		for _, o := range operations {
			if strings.HasPrefix(o.Name, ownPrefix) {
				ours = append(ours, service)
				break
			}
		}
	}
	return ours, all, nil
}

// traces asks for traces.
func (c *Client) traces(ctx context.Context, query url.Values, path ...string) ([]Trace, error) {
	body, err := c.get(ctx, query, path...)
	if err != nil {
		return nil, err
	}
	traces, err := readTraces(body)
	if err != nil {
		return nil, c.notJaeger(err)
	}
	return traces, nil
}

// get asks for path and returns the body of a good answer.
func (c *Client) get(ctx context.Context, query url.Values, path ...string) ([]byte, error) {
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
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, mostAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("jaeger: %s: reading the answer: %w; try again", c, err)
	case len(body) > mostAnswer:
		return nil, fmt.Errorf("jaeger: %s: the answer is longer than %d MiB; look back for less time with --since, or for fewer traces with --slowest", c, mostAnswer>>20)
	case response.StatusCode != http.StatusOK:
		return nil, c.refused(response, body)
	case strings.HasPrefix(response.Header.Get("Content-Type"), "text/html"):
		return nil, c.notJaeger(errors.New("it answered with a page in HTML"))
	}
	return body, nil
}

// refused is the error of an answer that is not 200.
func (c *Client) refused(response *http.Response, body []byte) error {
	said := complaint(body)
	switch {
	case response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden:
		return fmt.Errorf("jaeger: %s answered %s: give who you are in the address: http://USER:PASSWORD@HOST", c, response.Status)
	case response.StatusCode == http.StatusNotFound && said != "":
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
