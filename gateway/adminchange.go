package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"overtake/broker"
)

// pausePatience bounds what a broker may take to pause a lane.
const pausePatience = 10 * time.Second

// registerChanges adds what changes something. The guard asks for the token.
func (g *Gateway) registerChanges(mux *http.ServeMux) {
	mux.HandleFunc("POST /admin/reload", g.adminReload)
	pause := func(w http.ResponseWriter, r *http.Request) { g.adminPause(w, r, true) }
	resume := func(w http.ResponseWriter, r *http.Request) { g.adminPause(w, r, false) }
	mux.HandleFunc("POST /admin/queues/{queue}/pause", pause)
	mux.HandleFunc("POST /admin/queues/{queue}/resume", resume)
	mux.HandleFunc("POST /admin/queues/{queue}/{class}/pause", pause)
	mux.HandleFunc("POST /admin/queues/{queue}/{class}/resume", resume)
	mux.HandleFunc("POST /admin/log-level", g.adminLogLevel)
}

// changed logs who changed what, or tried to.
func (g *Gateway) changed(r *http.Request, err error, args ...any) {
	args = append([]any{"remote", r.RemoteAddr}, args...)
	if err != nil {
		args = append(args, "error", err)
	}
	g.log.Warn("asked for by the admin listener", args...)
}

// adminReload answers when the reload has ended: 200 with the time since when the new
// configuration is in effect, 422 for mistakes in it, 409 for what takes a restart.
func (g *Gateway) adminReload(w http.ResponseWriter, r *http.Request) {
	since, err := g.reload()
	g.changed(r, err, "change", "reload")
	_, restart := errors.AsType[restartNeeded](err)
	switch {
	case err == nil:
		writeJSON(w, http.StatusOK, map[string]any{"since": since.UTC().Format(time.RFC3339Nano)})
	case restart || errors.Is(err, errDraining):
		http.Error(w, err.Error(), http.StatusConflict)
	default:
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
	}
}

// adminPause is overtake queue pause and resume: for one lane, or without a class for
// all lanes of the queue, one after the other. It can be repeated if it ends halfway.
func (g *Gateway) adminPause(w http.ResponseWriter, r *http.Request, paused bool) {
	name, class := r.PathValue("queue"), r.PathValue("class")
	q, ok := g.queues[name]
	if !ok {
		http.Error(w, fmt.Sprintf("there is no queue %q here; want one of: %s", name, strings.Join(slices.Sorted(maps.Keys(g.queues)), ", ")), http.StatusNotFound)
		return
	}
	gen := g.present.Load()
	lanes := gen.classes.Names()
	switch oneLane := gen.config.OneLane(name); {
	case class != "" && oneLane:
		http.Error(w, fmt.Sprintf("queue %s has all classes in one lane, as its strategy is native; leave out /%s", name, class), http.StatusNotFound)
		return
	case class != "" && !slices.Contains(lanes, class):
		http.Error(w, fmt.Sprintf("there is no class %q; want one of: %s", class, strings.Join(lanes, ", ")), http.StatusNotFound)
		return
	case class != "":
		lanes = []string{class}
	case oneLane:
		lanes = []string{broker.AllClasses}
	}
	change := "resume"
	if paused {
		change = "pause"
	}
	ctx, cancel := context.WithTimeout(r.Context(), pausePatience)
	defer cancel()
	for _, lane := range lanes {
		err := q.SetPaused(ctx, lane, paused)
		q.view.forget() // who changed it wants to see that
		g.changed(r, err, "change", change, "queue", name, "class", lane)
		if err != nil {
			http.Error(w, fmt.Sprintf("queue %s: lane %s: %v", name, lane, err), http.StatusServiceUnavailable)
			return
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{"queue": name, "classes": lanes, "paused": paused})
}

// adminLogLevel sets the level until the process ends.
func (g *Gateway) adminLogLevel(w http.ResponseWriter, r *http.Request) {
	if g.level == nil {
		http.Error(w, "the log of this process has one level", http.StatusNotImplemented)
		return
	}
	text := r.URL.Query().Get("level")
	levels := []string{"debug", "info", "warn", "error"}
	var level slog.Level
	if !slices.Contains(levels, text) || level.UnmarshalText([]byte(text)) != nil {
		http.Error(w, fmt.Sprintf("%q is not a log level; want ?level= and one of: %s", text, strings.Join(levels, ", ")), http.StatusBadRequest)
		return
	}
	before := g.level.Level()
	g.level.Set(min(before, slog.LevelWarn)) // so that the change is in the log in any case
	g.changed(r, nil, "change", "log level", "from", before.String(), "to", level.String())
	g.level.Set(level)
	writeJSON(w, http.StatusOK, map[string]any{"level": text})
}
