package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	// longestWait bounds how long a client may wait for a job in one request.
	longestWait = time.Minute
	// lookForEnd is how often who waits looks by itself whether the job has
	// ended, in case that the announcement got lost.
	lookForEnd = 2 * time.Second
)

// serveOwn answers what is below ownPrefix: the jobs. It is neither classed nor
// forwarded.
func (g *Gateway) serveOwn(ctx *fasthttp.RequestCtx, r *request, path string) error {
	id, sub, deeper := strings.Cut(strings.TrimPrefix(path, jobsPrefix), "/")
	if !strings.HasPrefix(path, jobsPrefix) || !isJobID(id) || deeper && sub != "response" {
		return g.unknownJob()
	}
	methods := []string{fasthttp.MethodGet, fasthttp.MethodHead, fasthttp.MethodDelete}
	if deeper {
		methods = methods[:2]
	}
	method := string(ctx.Method())
	if !slices.Contains(methods, method) {
		writeProblem(ctx, fasthttp.StatusMethodNotAllowed, "", "Here are allowed: "+strings.Join(methods, ", ")+".")
		ctx.Response.Header.Set("Allow", strings.Join(methods, ", "))
		return nil
	}
	e, err := g.findJob(&r.life, id)
	if err != nil {
		return err
	}
	r.jobClass = e.Class
	if method == fasthttp.MethodDelete {
		return g.cancelJob(ctx, e)
	}
	wait := preferredWait(r.fields)
	if wait > 0 && !e.State.ended() {
		if err := g.await(r, e, wait); err != nil {
			return err
		}
	}
	if deeper {
		err = g.serveAnswer(ctx, e)
	} else {
		writeJob(ctx, fasthttp.StatusOK, &e.job)
	}
	if wait > 0 && err == nil {
		setApplied(ctx, wait)
	}
	return err
}

// unknownJob refuses a path that leads to no job.
func (g *Gateway) unknownJob() error {
	detail := "There is no such job, or it has been forgotten since it ended."
	if len(g.books) == 0 {
		detail = "No queue here keeps the states of its jobs."
	}
	return &failure{reason: reasonNoUpstream, err: errors.New("no such job"), detail: detail}
}

// findJob looks for the job in all stores.
func (g *Gateway) findJob(ctx context.Context, id string) (*entry, error) {
	for _, book := range g.books {
		e := &entry{book: book}
		if err := e.load(ctx, id); err != nil {
			return nil, bookFailure(err)
		}
		if q := g.queues[e.Queue]; e.ID == id && q != nil && q.book == book {
			e.keep = q.keepResults
			return e, nil
		}
	}
	return nil, g.unknownJob()
}

// bookFailure is a store that can't be asked.
func bookFailure(err error) error {
	return &failure{reason: reasonBrokerUnavailable, err: err, detail: "The states of jobs can't be read now. Try again."}
}

// cancelJob answers a DELETE. A running job is ended here and now; its gateway
// hears of that and breaks the request off.
func (g *Gateway) cancelJob(ctx *fasthttp.RequestCtx, e *entry) error {
	before := e.State
	patience, cancel := context.WithTimeout(context.Background(), publishPatience)
	defer cancel()
	err := e.change(patience, e.ID, func(r *record) bool {
		before = r.State
		return r.cancel(now())
	})
	switch {
	case err != nil:
		return bookFailure(err)
	case e.ID == "":
		return g.unknownJob()
	case e.State != jobCancelled:
		writeProblem(ctx, fasthttp.StatusConflict, e.State, "The job has ended already.")
	case before == jobRunning:
		writeJob(ctx, fasthttp.StatusAccepted, &e.job)
	default:
		writeJob(ctx, fasthttp.StatusOK, &e.job)
	}
	return nil
}

// serveAnswer replays the app's answer, or says why it can't.
func (g *Gateway) serveAnswer(ctx *fasthttp.RequestCtx, e *entry) error {
	if !e.State.ended() {
		writeProblem(ctx, fasthttp.StatusConflict, e.State, "The job has not ended yet.")
		ctx.Response.Header.Set("Retry-After", "1")
		return nil
	}
	err := g.replay(ctx, e)
	if !errors.Is(err, errNoAnswer) {
		if err != nil {
			return bookFailure(err)
		}
		return nil
	}
	detail := "The app has given no answer."
	if e.Answer != nil {
		detail = "The answer is not kept any more."
		if e.Answer.Lost != "" {
			detail = "The answer was not kept: " + e.Answer.Lost + "."
		}
	}
	writeProblem(ctx, fasthttp.StatusNotFound, e.State, detail)
	return nil
}

// await waits until the job has ended, for wait at most. It fails if the client
// leaves, of which the job hears nothing.
func (g *Gateway) await(r *request, e *entry, wait time.Duration) error {
	changed := make(chan struct{}, 1)
	defer e.book.records.Watch(e.ID, func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})()
	timer, ticker := time.NewTimer(wait), time.NewTicker(lookForEnd)
	defer timer.Stop()
	defer ticker.Stop()
	id, enough := e.ID, false
	for {
		patience, cancel := context.WithTimeout(&r.life, publishPatience)
		err := e.load(patience, id)
		cancel()
		switch {
		case r.life.Err() != nil:
			return r.life.Err()
		case err != nil:
			return bookFailure(err)
		case e.ID == "":
			return g.unknownJob()
		case e.State.ended() || enough:
			return nil
		}
		select {
		case <-changed:
		case <-ticker.C:
		case <-timer.C:
			enough = true
		case <-g.serving.Done(): // draining
			enough = true
		case <-r.life.Done():
			return r.life.Err()
		}
	}
}

// preferredWait is how long the client would wait for the answer, RFC 7240
// section 4.3; 0 if it did not say.
func preferredWait(f fields) time.Duration {
	prefer, _ := f.lookup("Prefer")
	for part := range strings.SplitSeq(prefer, ",") {
		part, _, _ = strings.Cut(part, ";") // its parameters
		name, value, _ := strings.Cut(part, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "wait") {
			continue
		}
		seconds, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 32)
		if err != nil {
			return 0
		}
		return min(time.Duration(seconds)*time.Second, longestWait)
	}
	return 0
}

func setApplied(ctx *fasthttp.RequestCtx, wait time.Duration) {
	ctx.Response.Header.Set("Preference-Applied", fmt.Sprintf("wait=%d", wait/time.Second))
}

func writeJob(ctx *fasthttp.RequestCtx, status int, j *job) {
	body, err := json.Marshal(j)
	if err != nil {
		panic(fmt.Sprintf("gateway: state of a job: %v", err)) // strings, numbers and times
	}
	writeOwn(ctx, status, "application/json", body)
}

// writeProblem answers about a job what is no refusal of a request to an app, and
// so has no reason of the contract's.
func writeProblem(ctx *fasthttp.RequestCtx, status int, state jobState, detail string) {
	body, err := json.Marshal(struct {
		Title  string   `json:"title"`
		Status int      `json:"status"`
		Detail string   `json:"detail"`
		State  jobState `json:"state,omitempty"`
	}{fasthttp.StatusMessage(status), status, detail, state})
	if err != nil {
		panic(fmt.Sprintf("gateway: problem details: %v", err)) // strings and a number
	}
	writeOwn(ctx, status, "application/problem+json", body)
}

func writeOwn(ctx *fasthttp.RequestCtx, status int, contentType string, body []byte) {
	ctx.SetStatusCode(status)
	ctx.Response.Header.SetContentType(contentType)
	ctx.Response.Header.Set("Cache-Control", "no-store")
	ctx.Response.SetBodyRaw(body)
}
