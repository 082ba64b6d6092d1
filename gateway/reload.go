package gateway

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"overtake/classifier/strictyaml"
	"overtake/gateway/config"
)

// failedReload is a reload that changed nothing.
type failedReload struct {
	at  time.Time
	err error
}

// restartNeeded is why a valid configuration is not taken over.
type restartNeeded struct{ error }

func (r restartNeeded) Unwrap() error { return r.error }

var errDraining = errors.New("gateway: draining: nothing is reloaded any more")

// Reload reads the configuration again and goes on by it, or says in the log why it
// can't, and goes on by the one before. No request notices. Certificates in changed
// files are taken over in either case.
func (g *Gateway) Reload() {
	_, _ = g.reload() // the log has it
}

// reload is Reload, and returns since when the configuration is in effect, or why it
// is not.
func (g *Gateway) reload() (since time.Time, err error) {
	g.reloading.Lock()
	defer g.reloading.Unlock()
	if g.draining.Load() {
		return time.Time{}, errDraining
	}
	g.reloadCertificates()
	before := g.present.Load()
	after, err := g.next(before)
	if err != nil {
		g.refused(err)
		return time.Time{}, err
	}
	if g.draining.Load() { // nobody waits for it any more
		after.discard(before)
		return time.Time{}, errDraining
	}
	fresh, gone := changes(before, after)
	g.install(after)
	if w := g.watcher.Load(); w != nil {
		w.again()
	}
	g.metrics.reloads.WithLabelValues(reloadDone).Inc()
	for _, warning := range after.config.Warnings {
		g.log.Warn(warning.String())
	}
	g.log.Info("configuration reloaded", "new_upstreams", fresh, "closing_upstreams", gone)
	return after.since, nil
}

// next makes the generation of what is configured now, after the present one.
func (g *Gateway) next(present *generation) (*generation, error) {
	cfg, err := g.read()
	if err != nil {
		return nil, err
	}
	if err := present.config.Reloadable(cfg); err != nil {
		return nil, restartNeeded{err}
	}
	return g.newGeneration(cfg, present)
}

// refused notes why a reload changes nothing.
func (g *Gateway) refused(err error) {
	g.metrics.reloads.WithLabelValues(reloadFailed).Inc()
	g.metrics.reloadedWell.Set(0)
	g.mu.Lock()
	g.failed = &failedReload{time.Now(), err}
	g.mu.Unlock()
	causes := []string{err.Error()}
	if problems, ok := errors.AsType[strictyaml.Problems](err); ok {
		causes = causes[:0]
		for _, p := range problems {
			causes = append(causes, p.String())
		}
	}
	for _, cause := range causes {
		g.log.Error("configuration not reloaded; the one before stays in effect", "error", cause)
	}
}

// changes names the upstreams that are new in after, and those of before that it
// has not.
func changes(before, after *generation) (fresh, gone string) {
	without := func(all, without map[string]*upstream) string {
		names := slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(name string) bool { return without[name] == all[name] })
		return strings.Join(names, ",")
	}
	return without(after.upstreams, before.upstreams), without(before.upstreams, after.upstreams)
}

// watchFiles has changed files reload by themselves.
func (g *Gateway) watchFiles() {
	if len(g.files) == 0 {
		return
	}
	w, err := newWatcher(g.log)
	if err != nil {
		g.log.Warn("changes of files are not seen; after one, send SIGHUP", "error", err)
		return
	}
	w.watch(g.Reload, func() []string {
		names := slices.Clone(g.files)
		for _, u := range g.Config().Upstreams {
			if u.TLS != nil && u.TLS.CA != "" {
				names = append(names, u.TLS.CA)
			}
		}
		slices.Sort(names)
		return names
	})
	w.watch(g.certificatesChanged, func() (names []string) {
		for _, l := range g.Config().Listeners {
			if l.TLS != nil {
				names = append(names, l.TLS.Files()...)
			}
		}
		return names
	})
	g.watcher.Store(w)
	if g.outdated() { // since before the watch began
		g.Reload()
	}
	g.housework.Go(func() { w.run(g.stopHousework) })
}

// outdated reports whether the configuration in effect is not what would be read
// now, as far as it can be shown.
func (g *Gateway) outdated() bool {
	next, err := g.read()
	if err != nil {
		return true
	}
	texts := make([][]byte, 2)
	for i, cfg := range []*config.Config{g.Config(), next} {
		if texts[i], err = cfg.Redacted(); err != nil {
			return true
		}
	}
	return !bytes.Equal(texts[0], texts[1])
}

// certificatesChanged also tries a reload again that has failed: it may have come
// when a certificate was new and its key was not.
func (g *Gateway) certificatesChanged() {
	g.mu.Lock()
	failed := g.failed != nil
	g.mu.Unlock()
	if failed {
		g.Reload()
		return
	}
	g.reloadCertificates()
}
