package keyed_test

import (
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"overtake/gateway/keyed"
)

func newCount(string) *atomic.Int64 { return new(atomic.Int64) }

// Whoever asks for a key first, all get the same value, and nothing is lost.
func TestOfSeveralFirstUses(t *testing.T) {
	var counts keyed.Values[string, *atomic.Int64]
	const users, keys = 4, 200
	var using sync.WaitGroup
	for range users {
		using.Go(func() {
			for i := range keys {
				counts.Of(strconv.Itoa(i), newCount).Add(1)
			}
		})
	}
	using.Wait()
	if n := len(counts.All()); n != keys {
		t.Errorf("%d keys, want %d", n, keys)
	}
	for key, n := range counts.All() {
		if n.Load() != users {
			t.Errorf("%s was counted %d times, want %d", key, n.Load(), users)
		}
	}
}

// What is kept is the same value as before; what is not begins anew.
func TestKeep(t *testing.T) {
	var counts keyed.Values[string, *atomic.Int64]
	counts.Keep(func(string) bool { return false }) // of nothing
	stays, goes := counts.Of("stays", newCount), counts.Of("goes", newCount)
	before := counts.All()
	counts.Keep(func(key string) bool { return key == "stays" })
	if got := slices.Collect(maps.Keys(counts.All())); len(got) != 1 || counts.Of("stays", newCount) != stays {
		t.Errorf("kept %q, want the one that stays", got)
	}
	if counts.Of("goes", newCount) == goes {
		t.Error("a key that was forgotten has its value still")
	}
	if len(before) != 2 {
		t.Errorf("what somebody holds became %d values, want the 2 that it was", len(before))
	}
}

// To find a value allocates nothing.
func TestOfAllocatesNothing(t *testing.T) {
	var counts keyed.Values[string, *atomic.Int64]
	counts.Of("key", newCount)
	if n := testing.AllocsPerRun(100, func() { counts.Of("key", newCount).Add(1) }); n > 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkOf(b *testing.B) {
	var counts keyed.Values[string, *atomic.Int64]
	for i := range 20 {
		counts.Of("rule-"+strconv.Itoa(i), newCount)
	}
	b.ReportAllocs()
	for b.Loop() {
		counts.Of("rule-7", newCount)
	}
}
