package scheduler

import (
	"math"
	"time"
)

// baseline is what is known of one class's work.
type baseline struct {
	low lowSamples

	// Since the epoch began.
	done    int     // while the server was full
	n       int     // dispatched when it was
	seconds float64 // how long those held their slots, in all
}

// tooLong reports whether work takes far less long in a full server than the
// baseline says, by more than two standard errors of the former: the baseline is
// of other work then.
func (b *baseline) tooLong() bool {
	if b.n < fewestClean {
		return false
	}
	n := float64(b.n)
	return b.low.mean() > wrongBy*(b.seconds/n)*(1+2*b.low.cv()/math.Sqrt(n))
}

type lowSample struct {
	began    time.Duration
	seconds  float64
	inFlight int
}

const (
	// precision is the relative error of a mean that is aimed at.
	precision = 0.045
	// keptLow and fewestLow bound the number of samples that are kept of a class.
	keptLow   = 512
	fewestLow = 24
	// fewestClean are enough to judge a mean by where the work hardly varies.
	fewestClean = 8
)

// moments are the number, sum and squares of some durations in seconds.
type moments struct {
	n            int
	sum, squares float64
}

func (m *moments) add(seconds float64) {
	m.n++
	m.sum += seconds
	m.squares += seconds * seconds
}

func (m *moments) drop(seconds float64) {
	m.n--
	m.sum -= seconds
	m.squares -= seconds * seconds
}

// mean returns the mean, 0 for none.
func (m *moments) mean() float64 {
	if m.n == 0 {
		return 0
	}
	return m.sum / float64(m.n)
}

// cv returns the coefficient of variation, as if there had been one more sample
// that is off by half: a few that agree may do so by chance.
func (m *moments) cv() float64 {
	mean, n := m.mean(), float64(m.n)
	if mean <= 0 {
		return 1
	}
	return math.Sqrt((max(0, m.squares/n/(mean*mean)-1)*n + 0.25) / (n + 1))
}

// lowSamples are the latest pieces of work of a class dispatched while few slots
// of the server were in use.
type lowSamples struct {
	moments
	all []lowSample // the first of them, all but n, are dropped
}

func (b *lowSamples) kept() []lowSample { return b.all[len(b.all)-b.n:] }

// take adds a sample. How many are kept depends on how much they vary: as few
// as possible, so that the past is forgotten soon.
func (b *lowSamples) take(s lowSample) {
	most := keptLow
	if b.n >= fewestLow {
		cv := b.cv()
		most = min(max(int(cv*cv/(precision*precision)), fewestLow), keptLow)
	}
	for b.n >= most {
		b.drop(b.kept()[0].seconds)
	}
	if len(b.all) >= 2*keptLow {
		b.keep(math.MaxInt, 0)
	}
	b.all = append(b.all, s)
	b.add(s.seconds)
}

// upTo returns the moments of the samples with no more than low in flight that
// were begun since then.
func (b *lowSamples) upTo(low int, since time.Duration) (m moments) {
	for _, s := range b.kept() {
		if s.inFlight <= low && s.began >= since {
			m.add(s.seconds)
		}
	}
	return m
}

// keep drops all other samples than these, makes room, and undoes what rounding
// has added up.
func (b *lowSamples) keep(low int, since time.Duration) {
	old, kept := b.kept(), b.all[:0]
	b.moments = moments{}
	for _, s := range old {
		if s.inFlight <= low && s.began >= since {
			kept = append(kept, s)
			b.add(s.seconds)
		}
	}
	b.all = kept
}

// narrow drops the samples with more than low in flight if enough are left.
func (b *lowSamples) narrow(low int) {
	if n := b.upTo(low, 0).n; n >= fewestLow && n < b.n {
		b.keep(low, 0)
	}
}

// correct drops the samples with more than low in flight, which may have waited in
// the server, and those from before the probe began, if there are enough others
// for how much those vary. As a few that agree may do so by chance, two are added
// that do not.
func (b *lowSamples) correct(low int, began time.Duration) {
	clean := b.upTo(low, began)
	n, cv := float64(clean.n), clean.cv()
	enough := fewestLow * (n*cv*cv + 2) / (n + 2)
	if n > 0 && n >= min(enough, fewestLow) {
		b.keep(low, began)
	}
}
