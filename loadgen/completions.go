package loadgen

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"overtake/loadgen/completion"
)

const pollTimeout = 5 * time.Second

// completionsReader polls the list of finished work. Only lost may be read
// concurrently.
type completionsReader struct {
	url    *url.URL
	client *http.Client
	next   uint64
	lost   atomic.Uint64
}

// openCompletions starts reading at the present end of the list.
func openCompletions(ctx context.Context, rawURL string, tlsConfig *tls.Config) (*completionsReader, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("loadgen: completions %q: %w", rawURL, err)
	}
	r := &completionsReader{
		url:    u,
		client: &http.Client{Transport: &http.Transport{TLSClientConfig: tlsConfig}, Timeout: pollTimeout},
	}
	const end = 1 << 62 // past any list: the answer says where it ends
	page, err := r.get(ctx, end)
	if err != nil {
		return nil, fmt.Errorf("loadgen: completions: %w; is the sample app running there?", err)
	}
	r.next = page.Next
	return r, nil
}

// poll passes all new completions to each.
func (r *completionsReader) poll(ctx context.Context, each func(completion.Item)) error {
	for {
		page, err := r.get(ctx, r.next)
		if err != nil {
			return err
		}
		r.next = page.Next
		r.lost.Add(page.Lost)
		for _, item := range page.Items {
			each(item)
		}
		if len(page.Items) == 0 {
			return nil
		}
	}
}

func (r *completionsReader) get(ctx context.Context, after uint64) (page completion.Page, err error) {
	u := *r.url
	query := u.Query()
	query.Set("after", strconv.FormatUint(after, 10))
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return page, err
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return page, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return page, fmt.Errorf("GET %s: %s", u.Redacted(), resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return page, fmt.Errorf("GET %s: %w", u.Redacted(), err)
	}
	if err := json.Unmarshal(body, &page); err != nil {
		return page, fmt.Errorf("GET %s: %w", u.Redacted(), err)
	}
	return page, nil
}

func (r *completionsReader) close() { r.client.CloseIdleConnections() }
