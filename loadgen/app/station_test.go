package app

import (
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// stage is a station whose work is timed.
type stage struct {
	*station
	began time.Time
	mu    sync.Mutex
	ended map[*work]time.Duration
}

func newStage(cfg Config) *stage {
	st := &stage{began: time.Now(), ended: make(map[*work]time.Duration)}
	if cfg.MaxQueue == 0 {
		cfg.MaxQueue = defaultMaxQueue
	}
	st.station = newStation(cfg, func(w *work) {
		st.mu.Lock()
		defer st.mu.Unlock()
		st.ended[w] = time.Since(st.began)
	})
	return st
}

func (st *stage) takeAll(holds ...time.Duration) (all []*work) {
	for _, hold := range holds {
		w := &work{hold: hold}
		st.take(w)
		all = append(all, w)
	}
	return all
}

// want checks when work ended, to the microsecond.
func (st *stage) want(t *testing.T, all []*work, want ...time.Duration) {
	t.Helper()
	var got []time.Duration
	st.mu.Lock()
	for _, w := range all {
		got = append(got, st.ended[w].Round(time.Microsecond))
	}
	st.mu.Unlock()
	if !slices.Equal(got, want) {
		t.Errorf("ended after %v, want %v", got, want)
	}
}

func TestStationQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const s = time.Second
		st := newStage(Config{Workers: 2, MaxQueue: 3})
		all := st.takeAll(3*s, 1*s, 1*s, 1*s, 1*s)
		if st.take(&work{hold: s}) {
			t.Error("it takes more than may wait")
		}
		if workers, busy, queued := st.stats(); workers != 2 || busy != 2 || queued != 3 {
			t.Errorf("%d workers, %d busy, %d queued", workers, busy, queued)
		}
		time.Sleep(time.Minute)
		st.want(t, all, 3*s, 1*s, 2*s, 3*s, 4*s)
	})
}

func TestStationResizes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const s = time.Second
		st := newStage(Config{Workers: 1})
		all := st.takeAll(2*s, 2*s, 2*s, 2*s)
		time.Sleep(s)
		st.resize(3) // two more begin at once
		time.Sleep(s / 2)
		st.resize(1) // they go on; the last one waits for all of them
		time.Sleep(time.Minute)
		st.want(t, all, 2*s, 3*s, 3*s, 5*s)
	})
}

func TestStationShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const s = time.Second
		st := newStage(Config{Workers: 2, Sharing: true})
		all := st.takeAll(2*s, 2*s) // at full speed
		time.Sleep(s)
		all = append(all, st.takeAll(3*s, 3*s)...) // four share two: half speed
		// The first two have 1 s left and end at 3 s; then the others have 2 s left
		// and full speed.
		time.Sleep(time.Minute)
		st.want(t, all, 3*s, 3*s, 5*s, 5*s)

		st.began = time.Now()
		all = st.takeAll(4*s, 4*s)
		time.Sleep(2 * s)
		st.resize(1) // 2 s left each, at half speed
		time.Sleep(time.Minute)
		st.want(t, all, 6*s, 6*s)
	})
}

func TestStationDrawsExponential(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(Config{Workers: MaxWorkers, Exponential: true, Seed: 1})
		holds := make([]time.Duration, 10_000)
		for i := range holds {
			holds[i] = 50 * time.Millisecond
		}
		st.takeAll(holds...)
		time.Sleep(time.Minute)
		st.mu.Lock()
		defer st.mu.Unlock()
		var sum, squares float64
		for _, took := range st.ended {
			sum += took.Seconds()
			squares += took.Seconds() * took.Seconds()
		}
		n := float64(len(st.ended))
		mean := sum / n
		cv := math.Sqrt(squares/n-mean*mean) / mean
		if n != 10_000 || mean < 0.048 || mean > 0.052 || cv < 0.95 || cv > 1.05 {
			t.Errorf("%v of them took %.4f s on average with a coefficient of variation of %.2f, want 0.05 s and 1", n, mean, cv)
		}
	})
}

func TestStationCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, sharing := range []bool{false, true} {
			st := newStage(Config{Workers: 1, Sharing: sharing})
			st.takeAll(time.Second, time.Second)
			st.close()
			st.takeAll(time.Second)
			time.Sleep(time.Minute)
			if st.mu.Lock(); len(st.ended) > 0 {
				t.Errorf("sharing %t: %d ended after the close", sharing, len(st.ended))
			}
			st.mu.Unlock()
		}
	})
}
