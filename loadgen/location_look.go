package loadgen

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"
)

// largestJob bounds what is read of a job's description.
const largestJob = 1 << 20

// get asks for the resource of a job.
func (l *locations) get(ctx context.Context, j *watchedJob) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, j.patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, j.url, nil)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("User-Agent", "overtake-loadgen")
	for _, f := range j.fields {
		req.Header.Add(f.Name, f.Value)
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, largestJob))
	return resp.StatusCode, body, err
}

// jobView is what the resource of a job says.
type jobView struct {
	State    string
	Finished time.Time
}

// parseJob reads the description of a job. It is false if there is no state in it. A
// time that is none is as good as missing.
func parseJob(body []byte) (view jobView, ok bool) {
	var raw struct {
		State    string `json:"state"`
		Finished any    `json:"finished"`
	}
	if json.Unmarshal(body, &raw) != nil || raw.State == "" {
		return jobView{}, false
	}
	view.State = raw.State
	if text, ok := raw.Finished.(string); ok {
		view.Finished, _ = time.Parse(time.RFC3339Nano, text)
	}
	return view, true
}

// end returns when the job ended, which was between from and to, and by how much that
// may be wrong: 0 if the job itself tells, and not in whole seconds.
func (v jobView) end(from, to time.Time) (at time.Time, within time.Duration) {
	begin, end := v.Finished, v.Finished
	if v.Finished.Nanosecond() == 0 { // cut to seconds
		end = end.Add(time.Second)
	}
	if !begin.After(to) && !end.Before(from) {
		from, to = later(from, begin), earlier(to, end)
	}
	within = to.Sub(from) / 2
	return from.Add(within), within
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
