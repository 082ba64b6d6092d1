package loadgen

import (
	"crypto/tls"
	"time"
)

// Options are the conditions of a run. The zero value is usable.
type Options struct {
	// Condition says in the report under which condition the run was made, such
	// as "class order". Empty is "run".
	Condition string
	// Grace is how long the run waits, after the last intended start, for
	// answers and completions; what is missing then is counted as unfinished.
	// 0 is 10 s, negative is none.
	Grace time.Duration
	// RequestTimeout bounds one request from its real start, where its class has
	// no timeout of its own. 0 is 60 s.
	RequestTimeout time.Duration
	// MaxOutstanding bounds the unanswered requests of each class; above it,
	// requests are skipped and counted. 0 is 20000.
	MaxOutstanding int
	// Completions is the URL at which the sample app lists finished work, such
	// as http://127.0.0.1:9000/completions. Required if a class posts jobs.
	Completions string
	// Progress, if set, is called every 500 ms, never concurrently. It must
	// return soon.
	Progress func(Progress)
	// TLS is used for https targets. Nil verifies with the system's roots.
	TLS *tls.Config
	// Senders open the endpoints of kinds other than "http", by kind.
	Senders map[string]OpenSender
	// TraceSample is the share of requests, 0 to 1, whose traceparent has the
	// sampled flag, so that tracers record them.
	TraceSample float64
	// Jaeger is the base URL of a Jaeger, for links in the report. May be empty.
	Jaeger string
	// Version goes into the report. Empty is that of the build.
	Version string
}

func (o Options) withDefaults() Options {
	if o.Condition == "" {
		o.Condition = "run"
	}
	if o.Grace == 0 {
		o.Grace = 10 * time.Second
	}
	if o.RequestTimeout <= 0 {
		o.RequestTimeout = time.Minute
	}
	if o.MaxOutstanding <= 0 {
		o.MaxOutstanding = 20_000
	}
	return o
}
