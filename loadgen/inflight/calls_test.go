package inflight

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"overtake/loadgen"
	"overtake/loadgen/content"
	"overtake/loadgen/inflight/inflighttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func expect(t *testing.T, b *inflighttest.Book, want map[string]string) {
	t.Helper()
	for id, w := range want {
		if got := b.What(id); got != w {
			t.Errorf("%s is %q, want %q", id, got, w)
		}
	}
}

func TestEachCallIsFinishedOnce(t *testing.T) {
	c, b := New(), &inflighttest.Book{}
	for i := range 6 {
		c.Send(b.Call(fmt.Sprintf("a/%d", i), &content.Request{}, time.Hour))
	}
	<-c.More()
	for i := range 5 {
		call := c.Next()
		if want := fmt.Sprintf("a/%d", i); call.ID != want {
			t.Fatalf("%s is to be published, want %s", call.ID, want)
		}
		c.Written(call.ID)
	}
	c.Done("a/0")
	c.Done("a/0") // delivered again
	c.Fail("a/0", FailNacked)
	c.Fail("a/1", FailUnroutable)
	c.Done("a/1") // late: its failure was told
	c.Fail("a/2", FailConnection)
	c.Fail("a/2", FailConnection)
	c.Refuse(loadgen.FailConnect) // only a/5 is still to be published
	c.Done("a/4")
	c.End()
	c.End()
	c.Send(b.Call("a/6", &content.Request{}, time.Hour))
	c.Done("a/3")
	c.Done("a/4")
	expect(t, b, map[string]string{
		"a/0": "ok", "a/1": "failed unroutable", "a/2": "failed connection",
		"a/3": "unfinished", "a/4": "ok", "a/5": "failed connect", "a/6": "unfinished",
	})
	b.Balance(t)
	if got := b.Repeats(); !slices.Equal(got, []string{"a/0", "a/4"}) {
		t.Errorf("repeated %v, want a/0 and a/4", got)
	}
}

func TestCallsTimeOutButNotWhileTheirRequestIsRead(t *testing.T) {
	c, b := New(), &inflighttest.Book{}
	defer c.End()
	c.Send(b.Call("a/1", &content.Request{}, time.Millisecond))
	c.Send(b.Call("a/2", &content.Request{}, time.Millisecond))
	c.Send(b.Call("a/3", &content.Request{}, time.Hour))
	first := c.Next()
	b.Await(t, "its time is over", func() bool { return b.What("a/2") != "" })
	expect(t, b, map[string]string{"a/1": "", "a/2": "failed timeout", "a/3": ""})
	if next := c.Next(); next.ID != "a/3" {
		t.Errorf("%s is to be published, want a/3: nobody waits for a/2 any more", next.ID)
	}
	c.Written(first.ID)
	b.Await(t, "its time is over", func() bool { return b.What("a/1") != "" })
	expect(t, b, map[string]string{"a/1": "failed timeout", "a/3": ""})
	c.Written("a/3")
}

func TestCallsThatNobodyPublishesAreForgotten(t *testing.T) {
	c, b := New(), &inflighttest.Book{}
	defer c.End()
	for i := range 1000 {
		c.Send(b.Call(fmt.Sprintf("a/%d", i), &content.Request{}, time.Millisecond))
	}
	c.Send(b.Call("a/1000", &content.Request{}, time.Hour))
	b.Await(t, "their time is over", func() bool { return b.Count()["failed timeout"] == 1000 })
	c.mu.Lock()
	left := len(c.unsent)
	c.mu.Unlock()
	if next := c.Next(); left != 1 || next.ID != "a/1000" {
		t.Errorf("%d are to be published, the first is %s; want only a/1000", left, next.ID)
	}
}

func TestMessagesOfOthersAreKnown(t *testing.T) {
	c, b := New(), &inflighttest.Book{}
	defer c.End()
	c.Send(b.Call("a/100", &content.Request{}, time.Hour))
	c.Send(b.Call("a/103", &content.Request{}, time.Hour))
	if err := c.Foreign(); err != nil {
		t.Error(err)
	}
	for id, want := range map[string]bool{
		"a/100": true, "a/101": true, "a/103": true, "a/99": false, "a/104": false,
		"b/100": false, "": false, "a": false, "a/": false, "/": false, "a/x": false,
	} {
		if got := c.Ours(id); got != want {
			t.Errorf("%q ours: %v", id, got)
		}
	}
	if err := c.Foreign(); err == nil {
		t.Error("eight messages of others, and no error")
	}
}

func TestOnlyTheLatestAreRememberedAsDone(t *testing.T) {
	c, b := New(), &inflighttest.Book{}
	defer c.End()
	for i := range remembered + 2 {
		id := fmt.Sprintf("a/%d", i)
		c.Send(b.Call(id, &content.Request{}, time.Hour))
		c.Done(id)
	}
	for _, i := range []int{0, 1, 2, remembered + 1} {
		c.Done(fmt.Sprintf("a/%d", i))
	}
	if got := b.Repeats(); len(got) != 2 {
		t.Errorf("repeats %v, want those of the two latest", got)
	}
}

// A broker that redelivers does so to any of its consumers.
func TestNoRepetitionIsLost(t *testing.T) {
	c, b := New(), &inflighttest.Book{}
	defer c.End()
	const calls, deliveries = 10000, 4
	for i := range calls {
		c.Send(b.Call(fmt.Sprintf("a/%d", i), &content.Request{}, time.Hour))
	}
	var consumers sync.WaitGroup
	for i := range calls {
		id, start := fmt.Sprintf("a/%d", i), make(chan struct{})
		for range deliveries {
			consumers.Go(func() { <-start; c.Done(id) })
		}
		close(start)
		consumers.Wait()
	}
	if got := len(b.Repeats()); got != calls*(deliveries-1) {
		t.Errorf("%d repetitions, want %d", got, calls*(deliveries-1))
	}
	b.Balance(t)
}

func TestFillerHasOneBody(t *testing.T) {
	var f Filler
	long, ok := f.Body(&content.Request{Filler: 1000}, 1000)
	if !ok || len(long) != 1000 {
		t.Fatalf("%d bytes", len(long))
	}
	short, _ := f.Body(&content.Request{Filler: 10}, 1000)
	if len(short) != 10 || &short[0] != &long[0] {
		t.Error("a shorter body is no part of the longer one")
	}
	if _, ok := f.Body(&content.Request{Filler: 1001}, 1000); ok {
		t.Error("above the limit")
	}
	if _, ok := f.Body(&content.Request{Body: make([]byte, 11)}, 10); ok {
		t.Error("above the limit")
	}
	if body, ok := f.Body(&content.Request{}, 10); !ok || len(body) != 0 {
		t.Error("none asked for")
	}
}
