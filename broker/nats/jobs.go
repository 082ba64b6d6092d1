package nats

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"overtake/broker"
)

// Names of what job stores have on the server. Lanes can't have them: their
// subjects have two parts.
const (
	jobsBucket    = "overtake-jobs" // a bucket of NATS' key-value stores
	recordsStream = "KV_" + jobsBucket
	recordsPrefix = "$KV." + jobsBucket + "."
	answersStream = "OVERTAKE_ANSWERS"
	answersPrefix = "overtake.answers."
	endedPrefix   = "overtake.ended." // announcements, which nobody stores
)

// Defaults of [JobsConfig].
const (
	DefaultRecordBytes = 128 << 20
	DefaultAnswerBytes = 128 << 20
	DefaultAnswerKeep  = time.Hour
)

// JobsConfig describes the store for jobs of a server.
type JobsConfig struct {
	// RecordBytes bounds the records on disk. Default 128 MiB.
	RecordBytes int64
	// AnswerBytes bounds the answers on disk; the oldest make room for new
	// ones. Default 128 MiB.
	AnswerBytes int64
	// AnswerKeep is how long answers are kept at most. Default 1 h.
	AnswerKeep time.Duration
	// Replicas is how many servers of a cluster keep each record and each part of
	// an answer, as in [QueueConfig]. Default 1.
	Replicas int
}

// Jobs is a server's store for the records and answers of jobs; all queues
// share it, wherever their messages are. It is safe for concurrent use, by
// several processes too: a record is changed only by who has seen its last
// revision.
//
// Records refuse what is over their bound, since who loses the record of a
// cancelled job delivers it. So that ended ones don't fill the store, they are
// kept for less the fuller it is, and new ones are refused while there is still
// room for old ones to change in.
//
// With replicas, the leader alone answers reads, since another may lag behind.
type Jobs struct {
	conn    *Conn
	cfg     JobsConfig
	streams atomic.Pointer[jobStreams] // nil until they are declared
	sub     *natsgo.Subscription
	room    room

	mu      sync.Mutex
	watches map[string]map[*watch]struct{} // by ID
}

// jobStreams are the streams of a store.
type jobStreams struct{ records, answers jetstream.Stream }

// errNotOpened ends calls until the streams are declared.
var errNotOpened = fmt.Errorf("%w: the store for jobs has not been opened yet", broker.ErrUnavailable)

// watch is one who waits for announcements.
type watch struct{ ended func() }

// OpenJobs declares the store. What exists is kept, and changed where cfg
// differs from it. The server must be NATS 2.11 or later.
//
// While a server elsewhere can't be reached, or is without a leader, OpenJobs logs
// that and returns a store that will be declared as soon as the server answers:
// until then its calls fail with [broker.ErrUnavailable].
func (c *Conn) OpenJobs(ctx context.Context, cfg JobsConfig) (*Jobs, error) {
	if cfg.RecordBytes == 0 {
		cfg.RecordBytes = DefaultRecordBytes
	}
	if cfg.AnswerBytes == 0 {
		cfg.AnswerBytes = DefaultAnswerBytes
	}
	if cfg.AnswerKeep == 0 {
		cfg.AnswerKeep = DefaultAnswerKeep
	}
	if cfg.Replicas == 0 {
		cfg.Replicas = 1
	}
	if cfg.RecordBytes < minBytes || cfg.AnswerBytes < minBytes || cfg.AnswerKeep < time.Second {
		return nil, fmt.Errorf("nats: jobs: RecordBytes %d and AnswerBytes %d, want at least %d each; AnswerKeep %v, want at least 1s",
			cfg.RecordBytes, cfg.AnswerBytes, minBytes, cfg.AnswerKeep)
	}
	if cfg.Replicas < 1 || cfg.Replicas > maxReplicas {
		return nil, fmt.Errorf("nats: jobs: %d replicas, want 1 to %d", cfg.Replicas, maxReplicas)
	}
	j := &Jobs{conn: c, cfg: cfg, watches: make(map[string]map[*watch]struct{})}
	err := c.open(ctx, c.log.With("store", jobsBucket), j.declare)
	if err != nil {
		return nil, err
	}
	if j.sub, err = c.nc.Subscribe(endedPrefix+"*", j.announced); err != nil {
		return nil, fmt.Errorf("nats: jobs: subscribe to %s*: %w", endedPrefix, cause(ctx, err))
	}
	return j, nil
}

func (j *Jobs) declare(ctx context.Context) error {
	if err := j.conn.require("the states of jobs", recordsFrom); err != nil {
		return fmt.Errorf("nats: jobs: %w", err)
	}
	records, err := j.declareStream(ctx, j.recordsConfig())
	if err != nil {
		return err
	}
	if !records.CachedInfo().Config.AllowMsgTTL { // another server of the cluster has answered
		return fmt.Errorf("nats: jobs: %w", tooOld("below that", "the states of jobs", recordsFrom))
	}
	answers, err := j.declareStream(ctx, j.answersConfig())
	if err != nil {
		return err
	}
	j.streams.Store(&jobStreams{records, answers})
	return nil
}

// opened runs call, a request to the declared streams.
func (j *Jobs) opened(ctx context.Context, call func(context.Context, *jobStreams) error) error {
	s := j.streams.Load()
	if s == nil {
		return errNotOpened
	}
	return j.conn.request(ctx, func(ctx context.Context) error { return call(ctx, s) })
}

// remediesOfJobs are in the words of the configuration, as nobody sees the streams.
var remediesOfJobs = remedies{
	smaller: "give the broker less max_bytes, of which the results of jobs take a quarter",
	aside:   "remove or rename that stream, or keep the results of jobs on another broker",
	rights:  recordsPrefix + ">, " + answersPrefix + "* and " + endedPrefix + "*, and to subscribe to the last and _INBOX.>",
}

func (j *Jobs) declareStream(ctx context.Context, cfg jetstream.StreamConfig) (s jetstream.Stream, err error) {
	err = j.conn.request(ctx, func(ctx context.Context) error {
		s, err = j.conn.createOrUpdate(ctx, cfg)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("nats: jobs: declare stream %q: %w%s", cfg.Name, err, remedy(cfg, err, remediesOfJobs))
	}
	return s, nil
}

// recordsConfig is what makes a stream a bucket of a key-value store, so that
// NATS' own tools can show it.
func (j *Jobs) recordsConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              recordsStream,
		Description:       "Overtake, states of jobs",
		Subjects:          []string{recordsPrefix + ">"},
		MaxMsgsPerSubject: 2, // see Save
		MaxBytes:          j.cfg.RecordBytes,
		Discard:           jetstream.DiscardNew,
		Storage:           jetstream.FileStorage,
		AllowMsgTTL:       true,
		AllowRollup:       true,
		DenyDelete:        true,
		AllowDirect:       j.cfg.Replicas == 1,
		Replicas:          j.cfg.Replicas,
	}
}

func (j *Jobs) answersConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        answersStream,
		Description: "Overtake, answers to jobs",
		Subjects:    []string{answersPrefix + "*"},
		MaxBytes:    j.cfg.AnswerBytes,
		MaxAge:      j.cfg.AnswerKeep,
		Discard:     jetstream.DiscardOld,
		Storage:     jetstream.FileStorage,
		Duplicates:  min(j.cfg.AnswerKeep, DefaultDedupeWindow),
		AllowDirect: j.cfg.Replicas == 1,
		Replicas:    j.cfg.Replicas,
	}
}

// Ping returns nil if the server answers and takes records, as far as is known, else
// an error that is [broker.ErrUnavailable] or ctx's.
func (j *Jobs) Ping(ctx context.Context) error {
	if err := j.conn.Ping(ctx); err != nil {
		return err
	}
	return j.conn.takes(recordsStream)
}

// Load returns the record with the ID. If there is none, its Revision is 0.
func (j *Jobs) Load(ctx context.Context, id string) (broker.Record, error) {
	r := broker.Record{ID: id}
	if !validRecordID(id) {
		return r, nil
	}
	err := j.opened(ctx, func(ctx context.Context, s *jobStreams) error {
		raw, err := s.records.GetLastMsgForSubject(ctx, recordsPrefix+id)
		if err == nil {
			r.Value, r.Revision = raw.Data, raw.Sequence
		}
		return err
	})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return r, nil
	}
	if err != nil {
		return r, fmt.Errorf("nats: load record %s: %w", id, err)
	}
	return r, nil
}

// Each calls f with the records that are there when it is called, those changed last
// at the end, until f fails.
func (j *Jobs) Each(ctx context.Context, f func(broker.Record) error) error {
	var last uint64
	err := j.opened(ctx, func(ctx context.Context, s *jobStreams) error {
		info, err := s.records.Info(ctx)
		if err == nil {
			last = info.State.LastSeq
		}
		return err
	})
	for next := uint64(1); err == nil && next <= last; {
		var raw *jetstream.RawStreamMsg
		err = j.opened(ctx, func(ctx context.Context, s *jobStreams) (err error) {
			// With a subject, it is the first message at or after next.
			raw, err = s.records.GetMsg(ctx, next, jetstream.WithGetMsgSubject(recordsPrefix+"*"))
			return err
		})
		if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && raw.Sequence > last {
			return nil
		}
		if err == nil {
			next = raw.Sequence + 1
			err = f(broker.Record{ID: strings.TrimPrefix(raw.Subject, recordsPrefix), Value: raw.Data, Revision: raw.Sequence})
		}
	}
	if err != nil {
		return fmt.Errorf("nats: go through the records: %w", err)
	}
	return nil
}

// Save stores the record if nobody has since its Revision, which it raises
// then; else it returns [broker.ErrConflict]. After [broker.ErrUnavailable] it
// may be stored all the same. A new record is refused with [broker.ErrFull]
// while the store is nearly full.
func (j *Jobs) Save(ctx context.Context, r *broker.Record) error {
	if !validRecordID(r.ID) {
		return fmt.Errorf("nats: save record %q: %w: the ID must be letters and digits", r.ID, broker.ErrInvalid)
	}
	if j.streams.Load() == nil {
		return fmt.Errorf("nats: save record %s: %w", r.ID, errNotOpened)
	}
	used := j.used(ctx)
	if r.Revision == 0 && used > newUpTo {
		return fmt.Errorf("nats: save record %s: %w: %.0f%% of the %d bytes for records are used; give the broker more disk",
			r.ID, broker.ErrFull, 100*used, j.cfg.RecordBytes)
	}
	opts := []jetstream.PublishOpt{jetstream.WithExpectLastSequencePerSubject(r.Revision)}
	if r.Keep > 0 {
		keep := r.Keep
		if r.Least > 0 {
			keep = max(spareKeep(keep, used), r.Least)
		}
		opts = append(opts, jetstream.WithMsgTTL(max(keep, time.Second).Truncate(time.Second)))
	}
	m := &natsgo.Msg{Subject: recordsPrefix + r.ID, Header: natsgo.Header{}, Data: r.Value}
	if r.Revision > 0 {
		// The server writes down that this removes the last revision. It does not for
		// one over MaxMsgsPerSubject: once the record had expired, a server that was
		// killed would have that one again.
		m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	}
	ack, err := j.conn.publish(ctx, recordsStream, m, opts...)
	if code := errorCode(err); code == jetstream.JSErrCodeStreamWrongLastSequence || code == jetstream.JSErrCodeStreamWrongLastSequenceConstant {
		return fmt.Errorf("nats: save record %s: %w since revision %d", r.ID, broker.ErrConflict, r.Revision)
	}
	if err != nil {
		return fmt.Errorf("nats: save record %s: %w", r.ID, err)
	}
	if r.Revision == 0 {
		j.room.add(len(r.ID) + len(r.Value) + recordOverhead)
	}
	r.Revision = ack.Sequence
	return nil
}

// validRecordID keeps what has a meaning in subjects out of them.
func validRecordID(id string) bool {
	return id != "" && len(id) <= 128 &&
		strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
}

// Announce tells everybody who watches the ID, in all processes. It may get
// lost with a connection.
func (j *Jobs) Announce(id string) {
	_ = j.conn.nc.Publish(endedPrefix+id, nil) // who needs to be sure looks by itself
}

// Watch calls ended after every [Jobs.Announce] of the ID that comes after Watch
// has returned, until stop. It must not block.
func (j *Jobs) Watch(id string, ended func()) (stop func()) {
	w := &watch{ended}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.watches[id] == nil {
		j.watches[id] = make(map[*watch]struct{})
	}
	j.watches[id][w] = struct{}{}
	return func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		delete(j.watches[id], w)
		if len(j.watches[id]) == 0 {
			delete(j.watches, id)
		}
	}
}

func (j *Jobs) announced(msg *natsgo.Msg) {
	id := strings.TrimPrefix(msg.Subject, endedPrefix)
	j.mu.Lock()
	defer j.mu.Unlock()
	for w := range j.watches[id] {
		w.ended()
	}
}

// Close ends all watches. What is under way goes on.
func (j *Jobs) Close(ctx context.Context) error {
	if err := j.sub.Unsubscribe(); err != nil && !errors.Is(err, natsgo.ErrConnectionClosed) {
		return fmt.Errorf("nats: close jobs: %w", cause(ctx, err))
	}
	return nil
}
