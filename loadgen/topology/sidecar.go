package topology

import "context"

// StartSidecar starts a sidecar beside a service and returns when it listens. The
// sidecar must outlive ctx, which bounds the start alone: it is stopped by Stop.
type StartSidecar func(ctx context.Context, spec SidecarSpec) (*RunningSidecar, error)

// SidecarSpec says what a sidecar is for.
type SidecarSpec struct {
	Service           string // what it is called in traces
	App               string // URL of the service, where inbound requests go
	Inbound, Outbound string // where to listen
	Config            string // configuration file; may be empty
}

// RunningSidecar is a sidecar that listens.
type RunningSidecar struct {
	Inbound, Outbound string       // addresses
	Stop              func() error // drains it and waits for its end
	// Ended has an error when it has ended by itself; nil if nobody can tell.
	Ended <-chan error
}
