package loadgen

import "time"

// series is the figures of each second since from. It is not safe for
// concurrent use.
type series struct {
	from    time.Duration
	seconds []secondTally
	// open has the latencies of the newest second and the one before, by the
	// parity of their numbers: completions become known up to a poll late.
	open [2]histogram
}

type secondTally struct {
	Second
	queue  time.Duration // sum
	queues int64
}

func newSeries(from time.Duration) series {
	return series{from: from, open: [2]histogram{newHistogram(), newHistogram()}}
}

// at returns the entry for a moment, or nil during the warm-up.
func (s *series) at(t time.Duration) *secondTally {
	if t < s.from {
		return nil
	}
	index := int((t - s.from) / time.Second)
	for len(s.seconds) <= index {
		s.finish(len(s.seconds) - 2)
		s.seconds = append(s.seconds, secondTally{Second: Second{Second: len(s.seconds)}})
	}
	return &s.seconds[index]
}

// done counts a success at t; queue is negative if nothing told.
func (s *series) done(t, latency, queue time.Duration, good bool) {
	second := s.at(t)
	if second == nil {
		return
	}
	second.Done++
	if good {
		second.Good++
	}
	if queue >= 0 {
		second.queue += queue
		second.queues++
	}
	// What is later than its second is open counts for the oldest that is.
	s.open[max(second.Second.Second, len(s.seconds)-2)%2].record(latency)
}

// peak returns how many requests the second with the most of them had.
func (s *series) peak() (most int64) {
	for _, second := range s.seconds {
		most = max(most, second.Sent)
	}
	return most
}

// finish writes the percentiles of a second into it.
func (s *series) finish(index int) {
	if index < 0 {
		return
	}
	h, second := s.open[index%2], &s.seconds[index]
	if h.count() > 0 {
		second.P50, second.P99 = millis(h.quantile(0.50)), millis(h.quantile(0.99))
	}
	h.reset()
}

// result returns the series so far. Nothing is added after it.
func (s *series) result() []Second {
	s.finish(len(s.seconds) - 2)
	s.finish(len(s.seconds) - 1)
	result := make([]Second, 0, len(s.seconds))
	for _, second := range s.seconds {
		if second.queues > 0 {
			second.Queue = millis(second.queue / time.Duration(second.queues))
		}
		result = append(result, second.Second)
	}
	return result
}
