package main

import (
	"context"
	"log/slog"
	"time"

	"overtake/gateway/config"
	"overtake/tracing"
	"overtake/tracing/export"
)

// lastSpans bounds how long the spans of the last requests may take to be exported
// at the end.
const lastSpans = 5 * time.Second

// startTracer starts what the configuration says about spans: nil for none. stop
// exports what is left.
func startTracer(cfg *config.Config, log *slog.Logger) (tracer *tracing.Tracer, stop func() error, err error) {
	t := cfg.Tracing
	if t.Exporter == "none" {
		return nil, func() error { return nil }, nil
	}
	log = log.With("exporter", t.Exporter)
	exporter, err := export.New(export.Config{
		Exporter: t.Exporter, Endpoint: t.Endpoint, Protocol: t.Protocol, Service: t.Service, Version: version(), Logger: log,
	})
	if err != nil {
		return nil, nil, err
	}
	tracer = tracing.NewTracer(tracing.TracerConfig{Exporter: exporter, Logger: log})
	stop = func() error {
		ctx, cancel := context.WithTimeout(context.Background(), lastSpans)
		defer cancel()
		return tracer.Shutdown(ctx)
	}
	return tracer, stop, nil
}
