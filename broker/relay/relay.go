package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"overtake/broker"
	"overtake/classifier"
)

// DefaultWindow is enough to keep a broker on the same network busy.
const DefaultWindow = 512

// ahead is how many messages are in hand for each that may be under way, so that
// those under way don't wait for the source.
const ahead = 3

// ErrLeft says that what is left at the source can't be moved.
var ErrLeft = errors.New("messages that can't be moved are left at the source")

// Config says what a [Relay] moves where.
type Config struct {
	// Name is the relay in logs.
	Name string
	// Open returns a source that hands out up to inHand messages, and which the relay
	// closes. It is called again only if UntilEmpty finds more in it after that.
	Open func(inHand int) (broker.Source, error)
	// Destination publishes into the lanes.
	Destination broker.Sender
	// Classifier decides by [View]; Classes are its classes, each of which has a
	// lane at the destination.
	Classifier *classifier.Classifier
	Classes    classifier.Classes
	// Trust believes the class that a message came with. Otherwise, that can only
	// make it less urgent.
	Trust bool
	// Window is how many messages are sent and not confirmed at most, up to
	// [broker.MaxSent]. Three times as many are in hand. Default: DefaultWindow.
	Window int
	// UntilEmpty ends the relay when nothing is left at the source.
	UntilEmpty bool
	// Logger gets what stops and goes on. Default: slog.Default.
	Logger *slog.Logger
}

// Relay moves messages. Make one with [New].
type Relay struct {
	cfg Config
	log *slog.Logger

	places  chan struct{} // one taken per message in hand
	sending chan struct{} // one taken per message under way
	inHand  atomic.Int64  // messages
	left    atomic.Int64  // of these, can't be moved
	dead    atomic.Uint64
	holding sync.WaitGroup
	waiting atomic.Int64 // at the source; -1 when not known
	moved   []atomic.Uint64
}

// New returns a relay. It does nothing before Run.
func New(cfg Config) (*Relay, error) {
	if cfg.Window == 0 {
		cfg.Window = DefaultWindow
	}
	if cfg.Window < 1 || cfg.Window > broker.MaxSent {
		return nil, fmt.Errorf("relay %q: a window of %d messages, want 1 to %d", cfg.Name, cfg.Window, broker.MaxSent)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	r := &Relay{
		cfg: cfg, log: cfg.Logger.With("relay", cfg.Name),
		places: make(chan struct{}, ahead*cfg.Window), sending: make(chan struct{}, cfg.Window), moved: make([]atomic.Uint64, cfg.Classes.Len()),
	}
	r.waiting.Store(-1)
	return r, nil
}

// Progress is what a relay has done so far.
type Progress struct {
	// Moved are the messages that the destination has confirmed, by class.
	Moved map[string]uint64
	// Dead is how many became dead letters, Left how many are held because they
	// can't be moved.
	Dead uint64
	Left int
	// Waiting is how many are at the source, -1 when that is not known. Those in
	// hand may be among them.
	Waiting int
}

// Progress may be called at any time.
func (r *Relay) Progress() Progress {
	p := Progress{
		Moved: make(map[string]uint64, len(r.moved)),
		Dead:  r.dead.Load(), Left: int(r.left.Load()), Waiting: int(r.waiting.Load()),
	}
	for i := range r.moved {
		p.Moved[r.cfg.Classes.Name(classifier.Class(i))] = r.moved[i].Load()
	}
	return p
}

// Run moves messages until ctx ends, which is not an error: it then takes no more,
// finishes what is in hand as far as the destination takes it, and gives back the
// rest. With UntilEmpty it also returns when the source is empty, with [ErrLeft]
// if that can't be reached. It fails at once if the source does not exist.
func (r *Relay) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		src, err := r.cfg.Open(cap(r.places))
		if err != nil {
			return fmt.Errorf("relay %q: %w", r.cfg.Name, err)
		}
		left, err := r.runOn(ctx, src)
		if err != nil {
			return fmt.Errorf("relay %q: %w", r.cfg.Name, err)
		}
		// What was on its way to the source when it looked empty is back by now.
		n, err := r.lookAgain(ctx, src)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			return fmt.Errorf("relay %q: %w", r.cfg.Name, err)
		case n <= left && left > 0:
			return fmt.Errorf("relay %q: %d %w", r.cfg.Name, left, ErrLeft)
		case n == 0:
			return nil
		}
	}
	return nil
}

// errEmpty ends the taking when there is nothing more to take.
var errEmpty = errors.New("the source is empty")

// runOn moves messages from src until ctx ends or src looks empty, and closes it.
// It returns how many messages could not be moved.
func (r *Relay) runOn(ctx context.Context, src broker.Source) (left int, err error) {
	taking, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var running, watching sync.WaitGroup
	movers := make([]*mover, r.cfg.Classes.Len())
	for i := range movers {
		movers[i] = newMover(r, classifier.Class(i))
		running.Go(func() { movers[i].run(taking) })
	}
	watching.Go(func() { r.watch(taking, stop, src) })
	err = r.take(taking, src, movers)
	stop(err)
	for _, m := range movers {
		close(m.in)
	}
	running.Wait()
	watching.Wait()
	r.holding.Wait()
	left = int(r.left.Load())
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if cerr := src.Close(closing); cerr != nil {
		r.log.Warn("relay: what was in hand comes again", "error", cerr)
	}
	for range left { // they are back at the source
		r.release()
	}
	r.left.Store(0)
	if why := context.Cause(taking); ctx.Err() == nil && !errors.Is(why, errEmpty) {
		return left, why
	}
	return left, nil
}

// closeTimeout bounds how long a source may take to be closed.
const closeTimeout = 10 * time.Second

// take hands what comes to the mover of its class. It returns when ctx ends.
func (r *Relay) take(ctx context.Context, src broker.Source, movers []*mover) error {
	for {
		select {
		case r.places <- struct{}{}: // also at the end: a source may have to hand out the rest
		default:
			select {
			case r.places <- struct{}{}:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		t, err := src.Next(ctx)
		if err != nil {
			<-r.places
			return err
		}
		r.inHand.Add(1)
		class := r.classify(t)
		t.Class = r.cfg.Classes.Name(class)
		movers[class].in <- t // it has room for all in hand
	}
}

func (r *Relay) classify(t *broker.Taken) classifier.Class {
	claim := classifier.Claim{Trusted: r.cfg.Trust}
	claim.Class, claim.Present = r.cfg.Classes.Lookup(t.Header.Get(broker.HeaderClass))
	view := View(t)
	return r.cfg.Classifier.Classify(&view, claim).Class
}

// release counts a message out that is not in hand any more.
func (r *Relay) release() {
	r.inHand.Add(-1)
	<-r.places
}

// hold keeps a message that can't be moved in hand until the source takes it back or
// the relay ends.
func (r *Relay) hold(t *broker.Taken, ending <-chan struct{}) {
	r.left.Add(1)
	r.holding.Go(func() {
		select {
		case <-t.Lost():
			r.left.Add(-1)
			r.release()
		case <-ending:
		}
	})
}

const (
	// look is how often the source is asked what it has, and quick how often if
	// that decides when to end.
	look  = time.Second
	quick = 100 * time.Millisecond
)

// watch asks the source how much it has, until ctx ends. It stops the taking when
// the source does not exist, or with UntilEmpty looked empty twice on end.
func (r *Relay) watch(ctx context.Context, stop context.CancelCauseFunc, src broker.Source) {
	every := look
	if r.cfg.UntilEmpty {
		every = quick
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	before := uint64(0) // what had been taken care of when it looked empty, and 1
	for known := false; ; {
		n, err := src.Waiting(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			known = true
			r.waiting.Store(int64(n))
		case errors.Is(err, broker.ErrUnavailable):
			r.waiting.Store(-1)
		case !known || r.cfg.UntilEmpty:
			stop(err)
			return
		default: // deleted meanwhile; the source says so, and it may come back
			r.waiting.Store(-1)
		}
		left := r.left.Load()
		if r.cfg.UntilEmpty && err == nil && int64(n) <= left && r.inHand.Load() == left {
			now := r.total() + 1
			if now == before {
				stop(errEmpty)
				return
			}
			before = now
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// total is how many messages have been taken care of.
func (r *Relay) total() uint64 {
	n := r.dead.Load()
	for i := range r.moved {
		n += r.moved[i].Load()
	}
	return n
}

// lookAgain returns how many messages a closed source has.
func (r *Relay) lookAgain(ctx context.Context, src broker.Source) (int, error) {
	tick := time.NewTicker(quick)
	defer tick.Stop()
	for {
		n, err := src.Waiting(ctx)
		if err == nil {
			r.waiting.Store(int64(n))
		}
		if err == nil || !errors.Is(err, broker.ErrUnavailable) {
			return n, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}
