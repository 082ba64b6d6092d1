package nats

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"overtake/broker"
	"overtake/broker/nats/natstest"
)

func openJobsAt(t *testing.T, replicas int, urls ...string) *Jobs {
	t.Helper()
	conn := connect(t, ConnConfig{URLs: urls, Logger: slog.New(slog.DiscardHandler)})
	return openJobs(t, &testBroker{conn: conn}, JobsConfig{RecordBytes: 1 << 20, AnswerBytes: 1 << 20, Replicas: replicas})
}

// checkAnswer saves an answer in one store and reads it in the other.
func checkAnswer(t *testing.T, saves, reads *Jobs, name string) {
	t.Helper()
	ctx := testContext(t)
	for try := 0; ; try++ { // a cluster may still be choosing who leads the answers
		answer, err := "", saves.SaveAnswer(ctx, fmt.Sprint(name, try), strings.NewReader("answer"))
		if err == nil {
			var r io.Reader
			if r, err = reads.OpenAnswer(ctx, fmt.Sprint(name, try)); err == nil {
				var b []byte
				b, err = io.ReadAll(r)
				answer = string(b)
			}
		}
		if errors.Is(err, broker.ErrUnavailable) && ctx.Err() == nil {
			continue
		}
		if err != nil || answer != "answer" {
			t.Errorf("answer %q, error %v", answer, err)
		}
		return
	}
}

// A gateway starts while the broker of its jobs is away: calls fail at once, and
// succeed when it has come.
func TestJobsServerComesLater(t *testing.T) {
	ctx := testContext(t)
	s := natstest.Start(t, natstest.Options{})
	s.Stop(t)
	j := openJobsAt(t, 1, s.URL())
	_, load := j.Load(ctx, "A")
	_, open := j.OpenAnswer(ctx, "A")
	for call, err := range map[string]error{
		"Load": load, "Save": j.Save(ctx, &broker.Record{ID: "A"}),
		"OpenAnswer": open, "SaveAnswer": j.SaveAnswer(ctx, "A", strings.NewReader("x")),
	} {
		if !errors.Is(err, broker.ErrUnavailable) {
			t.Errorf("%s: error %v, want %v", call, err, broker.ErrUnavailable)
		}
	}
	s.Restart(t)
	r := &broker.Record{ID: "A", Value: []byte("1")}
	for err := j.Save(ctx, r); err != nil; err = j.Save(ctx, r) {
		if !errors.Is(err, broker.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	other := openJobsAt(t, 1, s.URL())
	if got, err := other.Load(ctx, "A"); err != nil || string(got.Value) != "1" || got.Revision != r.Revision {
		t.Errorf("got %q at %d, error %v; want 1 at %d", got.Value, got.Revision, err, r.Revision)
	}
	checkAnswer(t, j, other, "B")
}

// Two stores race to claim the same jobs while the leader of the records is
// killed: never do both win one, and what was claimed stays so.
func TestJobsClaimedOnceInCluster(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	cluster := natstest.StartCluster(t, 3, natstest.Options{})
	stores := []*Jobs{openJobsAt(t, 3, cluster.URLs()...), openJobsAt(t, 3, cluster.URLs()...)}
	const jobs, killFrom, killedBy = 60, 20, 40
	for n := range jobs {
		save(t, stores[0], fmt.Sprint("J", n), "queued", 0)
	}
	leader := cluster.Leader(t, recordsStream)
	var won [jobs]atomic.Int32
	reached, killed := make(chan struct{}), make(chan struct{})
	var racing sync.WaitGroup
	for by, j := range stores {
		racing.Go(func() {
			for n := range jobs {
				switch {
				case by == 0 && n == killFrom:
					close(reached)
				case n == killedBy:
					<-killed
				}
				for {
					r, err := j.Load(ctx, fmt.Sprint("J", n))
					if err == nil && string(r.Value) == "queued" {
						r.Value = fmt.Append(nil, "claimed by ", by)
						if err = j.Save(ctx, &r); err == nil {
							won[n].Add(1)
						}
					}
					if err == nil || errors.Is(err, broker.ErrConflict) {
						break
					}
					if !errors.Is(err, broker.ErrUnavailable) {
						t.Errorf("claim of job %d: %v", n, err)
						return
					}
				}
			}
		})
	}
	<-reached
	leader.Kill(t)
	close(killed)
	racing.Wait()
	doubtful := 0
	for n := range jobs {
		r, err := stores[n%2].Load(ctx, fmt.Sprint("J", n))
		if err != nil || !strings.HasPrefix(string(r.Value), "claimed by") {
			t.Errorf("job %d: %q, error %v", n, r.Value, err)
		}
		switch won[n].Load() {
		case 0:
			doubtful++ // the claim was stored, and its confirmation lost
		case 1:
		default:
			t.Errorf("job %d was claimed %d times", n, won[n].Load())
		}
	}
	if doubtful > len(stores) {
		t.Errorf("%d claims have no winner, want at most one per store", doubtful)
	}
	checkAnswer(t, stores[0], stores[1], "A")
}
