package nats

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
)

// serverLog is the server's logger. The server calls Fatalf and expects the
// process to end there; inside ours it is an error of [StartServer].
type serverLog struct {
	log   *slog.Logger
	fatal atomic.Pointer[string] // the first fatal message
	// trouble gets a word after each error, if there is room.
	trouble chan<- struct{}
}

func (l *serverLog) Fatalf(format string, v ...any) {
	msg := fmt.Sprintf(format, v...)
	l.fatal.CompareAndSwap(nil, &msg)
}

func (l *serverLog) Errorf(format string, v ...any) {
	l.write(slog.LevelError, format, v)
	select {
	case l.trouble <- struct{}{}:
	default:
	}
}
func (l *serverLog) Warnf(format string, v ...any) { l.write(slog.LevelWarn, format, v) }

// Noticef logs below what the server thinks of it: its start-up chatter is not
// news to whoever runs a gateway.
func (l *serverLog) Noticef(format string, v ...any) { l.write(slog.LevelDebug, format, v) }
func (l *serverLog) Debugf(format string, v ...any)  { l.write(slog.LevelDebug, format, v) }
func (l *serverLog) Tracef(format string, v ...any)  { l.write(slog.LevelDebug, format, v) }

func (l *serverLog) write(level slog.Level, format string, v []any) {
	if ctx := context.Background(); l.log.Enabled(ctx, level) {
		l.log.Log(ctx, level, fmt.Sprintf(format, v...))
	}
}
