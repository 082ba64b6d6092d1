package tracing

import (
	"log/slog"
	"time"
)

const (
	// healthPause is the least time between two complaints: a collector that
	// fails now and then must not fill the log.
	healthPause = time.Minute
	// healthText bounds what is quoted of an error: a collector may have
	// answered with a page.
	healthText = 300
)

// exportHealth tells the log when exporting breaks, and when it works again.
type exportHealth struct {
	logger *slog.Logger

	broken     bool
	complained bool // of this break
	last       time.Time
	before     SpanStats // when it worked last
}

// judge takes the result of an export; stats include it.
func (h *exportHealth) judge(now time.Time, err error, stats SpanStats) {
	switch {
	case err != nil && !h.broken:
		h.broken = true
		if !h.last.IsZero() && now.Sub(h.last) < healthPause {
			return
		}
		h.complained, h.last = true, now
		text := err.Error()
		h.logger.Warn("tracing: spans can't be exported; requests go on without", "error", text[:min(len(text), healthText)])
	case err == nil:
		if h.complained {
			h.logger.Info("tracing: spans are exported again", "after", now.Sub(h.last).Round(time.Second),
				"failed", stats.Failed-h.before.Failed, "dropped", stats.Dropped-h.before.Dropped)
		}
		h.broken, h.complained, h.before = false, false, stats
	}
}
