package nats

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"overtake/broker"
)

func openJobs(t testing.TB, b *testBroker, cfg JobsConfig) *Jobs {
	t.Helper()
	j, err := b.conn.OpenJobs(testContext(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(testContext(t)); err != nil {
			t.Error(err)
		}
	})
	return j
}

func save(t testing.TB, j *Jobs, id, value string, revision uint64) *broker.Record {
	t.Helper()
	r := &broker.Record{ID: id, Value: []byte(value), Revision: revision}
	if err := j.Save(testContext(t), r); err != nil {
		t.Fatal(err)
	}
	return r
}

func load(t testing.TB, j *Jobs, id string) broker.Record {
	t.Helper()
	r, err := j.Load(testContext(t), id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEach(t *testing.T) {
	j := openJobs(t, startBroker(t, t.TempDir()), JobsConfig{})
	var got []string
	each := func() error {
		return j.Each(testContext(t), func(r broker.Record) error {
			if got = append(got, r.ID+string(r.Value)); len(got) > 3 {
				return io.ErrUnexpectedEOF
			}
			r.Value = []byte("x") // what is changed meanwhile is not met again
			return j.Save(testContext(t), &r)
		})
	}
	if err := each(); err != nil || got != nil {
		t.Errorf("of none: %v, %v", got, err)
	}
	first := save(t, j, "A", "1", 0)
	save(t, j, "B", "1", 0)
	save(t, j, "A", "2", first.Revision)
	if err := each(); err != nil || strings.Join(got, " ") != "B1 A2" {
		t.Errorf("%v, %v; want B1 and A2", got, err)
	}
	if err := each(); !errors.Is(err, io.ErrUnexpectedEOF) || strings.Join(got, " ") != "B1 A2 Bx Ax" {
		t.Errorf("%v, %v; want the error of f at the fourth", got, err)
	}
}

func TestRecordIsChangedByWhoSawItLast(t *testing.T) {
	b := startBroker(t, t.TempDir())
	one, other := openJobs(t, b, JobsConfig{}), openJobs(t, b, JobsConfig{}) // as two gateways
	if r := load(t, one, "A"); r.Revision != 0 || r.Value != nil {
		t.Errorf("before there is any: %+v", r)
	}
	first := save(t, one, "A", "1", 0)
	for _, stale := range []uint64{0, first.Revision + 1} {
		err := other.Save(testContext(t), &broker.Record{ID: "A", Value: []byte("x"), Revision: stale})
		if !errors.Is(err, broker.ErrConflict) {
			t.Errorf("saved over revision %d with %d: %v", first.Revision, stale, err)
		}
	}
	second := save(t, other, "A", "2", first.Revision)
	if r := load(t, one, "A"); string(r.Value) != "2" || r.Revision != second.Revision {
		t.Errorf("got %q at %d, want 2 at %d", r.Value, r.Revision, second.Revision)
	}
	b.stop(t)
	b.start(t)
	if r := load(t, openJobs(t, b, JobsConfig{}), "A"); string(r.Value) != "2" {
		t.Errorf("after a restart: %q", r.Value)
	}
}

// Of many who change a record at the same time, each change is made once.
func TestRecordCountsUp(t *testing.T) {
	j := openJobs(t, startBroker(t, t.TempDir()), JobsConfig{})
	const goroutines, each = 8, 25
	var all sync.WaitGroup
	for range goroutines {
		all.Go(func() {
			for n := 0; n < each; {
				r, err := j.Load(testContext(t), "A")
				if err != nil {
					t.Error(err)
					return
				}
				r.Value = append(r.Value, '+')
				if err = j.Save(testContext(t), &r); err == nil {
					n++
				} else if !errors.Is(err, broker.ErrConflict) {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if r := load(t, j, "A"); len(r.Value) != goroutines*each {
		t.Errorf("%d changes, want %d", len(r.Value), goroutines*each)
	}
}

func TestRecordExpires(t *testing.T) {
	t.Parallel()
	j := openJobs(t, startBroker(t, t.TempDir()), JobsConfig{})
	kept := save(t, j, "kept", "1", 0)
	r := save(t, j, "A", "1", 0)
	r.Keep = time.Second
	if err := j.Save(testContext(t), r); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); load(t, j, "A").Revision != 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the record never expired")
		}
	}
	save(t, j, "A", "2", 0) // as a new one
	if got := load(t, j, "kept").Revision; got != kept.Revision {
		t.Errorf("the other one is at revision %d, want %d", got, kept.Revision)
	}
}

func TestFullOfRecords(t *testing.T) {
	j := openJobs(t, startBroker(t, t.TempDir()), JobsConfig{RecordBytes: 1 << 20})
	value := strings.Repeat("x", 1000)
	var records []*broker.Record
	for {
		r := &broker.Record{ID: fmt.Sprint("R", len(records)), Value: []byte(value)}
		if err := j.Save(testContext(t), r); errors.Is(err, broker.ErrFull) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	if n := len(records); n < 600 || n > 900 {
		t.Errorf("%d records of 1 KiB fit into four fifths of 1 MiB", n)
	}
	// The old ones can still change, and grow.
	for _, r := range records[:100] {
		r.Value, r.Keep, r.Least = append(r.Value, value...), time.Hour, time.Second
		if err := j.Save(testContext(t), r); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSpareKeep(t *testing.T) {
	for _, tc := range []struct {
		used float64
		want time.Duration
	}{{0, time.Hour}, {0.4, time.Hour}, {0.55, time.Hour / 16}, {0.7, 0}, {1, 0}} {
		if got := spareKeep(time.Hour, tc.used).Round(time.Millisecond); got != tc.want {
			t.Errorf("with %v used, an hour becomes %v, want %v", tc.used, got, tc.want)
		}
	}
}

// However many jobs end per second, their records never take the room of new
// ones, though the server's answer about the room, and the end of a record, come
// a second late each; and the room is used.
func TestEndedRecordsLeaveRoom(t *testing.T) {
	const room, seconds = 250_000, 3 * 3600 // records of 500 bytes in 128 MiB
	for _, rate := range []int{1, 20, 100, 1000, 10_000} {
		expiring := make(map[int]int) // records, by the second of their end
		used, most, before := 0, 0, 0
		for now := range seconds {
			seen := float64(before+rate) / room // what was a second ago, and what came since
			before = used
			keep := max(spareKeep(time.Hour, seen), time.Second)
			expiring[now+1+int((keep+time.Second-1)/time.Second)] += rate
			used += rate - expiring[now]
			delete(expiring, now)
			most = max(most, used)
		}
		if most > newUpTo*room {
			t.Errorf("%d per second take up to %d of %d", rate, most, room)
		}
		if want := min(rate*3600, scarceFrom*room); used < want {
			t.Errorf("of %d per second %d are kept, and there is room for %d", rate, used, want)
		}
	}
}

func TestAnnouncement(t *testing.T) {
	b := startBroker(t, t.TempDir())
	one, other := openJobs(t, b, JobsConfig{}), openJobs(t, b, JobsConfig{})
	heard := make(chan string, 8)
	stop := one.Watch("A", func() { heard <- "A" })
	defer one.Watch("A", func() { heard <- "A" })()
	defer one.Watch("B", func() { heard <- "B" })()
	next := func() string {
		select {
		case id := <-heard:
			return id
		case <-time.After(patience):
			t.Fatal("nothing was heard")
			return ""
		}
	}
	other.Announce("A")
	if a, b := next(), next(); a != "A" || b != "A" {
		t.Errorf("heard %s and %s, want A twice", a, b)
	}
	stop()
	other.Announce("C")
	other.Announce("A")
	other.Announce("B")
	if a, b := next(), next(); a != "A" || b != "B" {
		t.Errorf("heard %s and %s, want A and B", a, b)
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	j := openJobs(t, startBroker(t, t.TempDir()), JobsConfig{})
	for _, size := range []int{0, 1, answerPart - 1, answerPart, answerPart + 1, 3*answerPart + 7} {
		name, want := fmt.Sprint("A", size), bytes.Repeat([]byte("0123456789"), size/10+1)[:size]
		if err := j.SaveAnswer(testContext(t), name, iotest.OneByteReader(bytes.NewReader(want))); err != nil {
			t.Fatal(err)
		}
		r, err := j.OpenAnswer(testContext(t), name)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: read %d, %v", size, len(got), err)
		}
	}
	if _, err := j.OpenAnswer(testContext(t), "B"); !errors.Is(err, broker.ErrGone) {
		t.Errorf("an answer that never was: %v", err)
	}
}

func TestAnswerThatBrokeOff(t *testing.T) {
	j := openJobs(t, startBroker(t, t.TempDir()), JobsConfig{})
	odd := errors.New("odd")
	half := io.MultiReader(strings.NewReader(strings.Repeat("x", 2*answerPart)), iotest.ErrReader(odd))
	if err := j.SaveAnswer(testContext(t), "A", half); !errors.Is(err, odd) {
		t.Errorf("got %v, want the reader's error", err)
	}
	if _, err := j.OpenAnswer(testContext(t), "A"); !errors.Is(err, broker.ErrGone) {
		t.Errorf("the half of it is kept: %v", err)
	}
}

// The oldest answers make room, and what has lost its beginning is gone.
func TestFullOfAnswers(t *testing.T) {
	t.Parallel()
	j := openJobs(t, startBroker(t, t.TempDir()), JobsConfig{AnswerBytes: 4 << 20})
	part := strings.Repeat("x", answerPart)
	store := func(name string, parts int) error {
		return j.SaveAnswer(testContext(t), name, strings.NewReader(strings.Repeat(part, parts)))
	}
	if err := store("large", 9); !errors.Is(err, broker.ErrTooLarge) {
		t.Errorf("more than half of the room: %v", err)
	}
	if err := store("old", 7); err != nil {
		t.Fatal(err)
	}
	reader, err := j.OpenAnswer(testContext(t), "old")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 14 {
		if err := store(fmt.Sprint("new", i), 1); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := j.OpenAnswer(testContext(t), "old"); !errors.Is(err, broker.ErrGone) {
		t.Errorf("what has lost its beginning can be opened: %v", err)
	}
	if n, err := io.Copy(io.Discard, reader); !errors.Is(err, broker.ErrGone) {
		t.Errorf("what was being read meanwhile: %d bytes, %v", n, err)
	}
	if _, err := j.OpenAnswer(testContext(t), "new13"); err != nil {
		t.Error(err)
	}
}

func TestIDsThatAreSubjects(t *testing.T) {
	j := openJobs(t, startBroker(t, t.TempDir()), JobsConfig{})
	save(t, j, "A", "1", 0)
	for _, id := range []string{"", ">", "*", "A.B", "A B", "ä", strings.Repeat("A", 129)} {
		if err := j.Save(testContext(t), &broker.Record{ID: id}); !errors.Is(err, broker.ErrInvalid) {
			t.Errorf("saved as %q: %v", id, err)
		}
		if r := load(t, j, id); r.Revision != 0 {
			t.Errorf("%q found %q", id, r.Value)
		}
		if _, err := j.OpenAnswer(testContext(t), id); !errors.Is(err, broker.ErrGone) {
			t.Errorf("answer %q: %v", id, err)
		}
	}
}

func TestOpenJobsSaysWhatHelps(t *testing.T) {
	for name, test := range map[string]struct {
		foreign jetstream.StreamConfig
		cfg     JobsConfig
		want    string
	}{
		"too much disk":         {cfg: JobsConfig{RecordBytes: 2 * storeLimit}, want: "give the broker less max_bytes"},
		"a stream in its place": {foreign: jetstream.StreamConfig{Name: answersStream, Subjects: []string{"orders.>"}}, want: "remove or rename that stream"},
		"its subjects taken":    {foreign: jetstream.StreamConfig{Name: "all", Subjects: []string{"overtake.>"}}, want: "remove or rename that stream"},
	} {
		t.Run(name, func(t *testing.T) {
			b := startBroker(t, t.TempDir())
			if test.foreign.Name != "" {
				if _, err := b.conn.js.CreateStream(testContext(t), test.foreign); err != nil {
					t.Fatal(err)
				}
			}
			_, err := b.conn.OpenJobs(testContext(t), test.cfg)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "lane") || strings.Contains(err.Error(), "the queue") {
				t.Errorf("error %v, want one with %q and not a word of queues", err, test.want)
			}
		})
	}
}
