package gateway

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"overtake/gateway/config"
)

// change asks for a change with the token.
func (g *testGateway) change(target string) adminAnswer {
	g.t.Helper()
	return g.askAdmin(http.MethodPost, target, "Authorization: Bearer "+testToken)
}

// A reload by the admin listener says how it ended, as the log does.
func TestAdminReload(t *testing.T) {
	app := serveRaw(t)
	g := start(t, guarded, app.url())
	before := g.present.Load()
	g.file = func() (*config.Config, error) { return parseConfig(guarded+"expose: all\n", app.url()) }
	a := g.change("/admin/reload")
	var answer struct{ Since time.Time }
	if err := json.Unmarshal([]byte(a.body), &answer); err != nil || a.status != 200 || !answer.Since.Equal(g.present.Load().since) || g.present.Load() == before {
		t.Errorf("reloaded: %d %s %v", a.status, a.body, err)
	}
	if g.Config().Expose != "all" {
		t.Error("the change is not in effect")
	}

	before = g.present.Load()
	g.file = func() (*config.Config, error) {
		return parseConfig(guarded+"expose: al\ndefault_class: none\n", app.url())
	}
	if a := g.change("/admin/reload"); a.status != 422 || !strings.Contains(a.body, `test.yaml:5:9: expose: "al"`) || strings.Count(a.body, "\n") < 2 {
		t.Errorf("a mistake: %d %s", a.status, a.body)
	}
	g.file = func() (*config.Config, error) { return nil, errors.New("the disk is gone") }
	if a := g.change("/admin/reload"); a.status != 422 || !strings.Contains(a.body, "the disk is gone") {
		t.Errorf("no file: %d %s", a.status, a.body)
	}
	g.file = func() (*config.Config, error) { return parseConfig(guarded+"provenance: {max: 7}\n", app.url()) }
	if a := g.change("/admin/reload"); a.status != 409 || !strings.Contains(a.body, "provenance.max: can't change while the process runs; restart it") {
		t.Errorf("what takes a restart: %d %s", a.status, a.body)
	}
	if g.present.Load() != before {
		t.Error("a reload that was refused changed something")
	}
	if !strings.Contains(g.log.String(), `msg="asked for by the admin listener" remote=127.0.0.1:`) {
		t.Error("the log does not say who asked")
	}
}

// The token and the names are those of the configuration in effect.
func TestAdminTokenIsReloaded(t *testing.T) {
	app := serveRaw(t)
	g := start(t, "", app.url())
	if a := g.change("/admin/log-level?level=info"); a.status != 403 || !strings.Contains(a.body, "admin_token") {
		t.Errorf("without a token: %d %s", a.status, a.body)
	}
	if a := g.askAdmin("GET", "/metrics", "Host: overtake.example.com"); a.status != 403 {
		t.Errorf("before the name is configured: %d", a.status)
	}
	g.reloadTo(guarded, app.url())
	if a := g.change("/admin/log-level?level=info"); a.status != 200 {
		t.Errorf("with a token: %d %s", a.status, a.body)
	}
	if a := g.askAdmin("GET", "/metrics", "Host: overtake.example.com"); a.status != 200 {
		t.Errorf("when the name is configured: %d", a.status)
	}
	g.reloadTo(strings.Replace(guarded, "correct", "another", 1), app.url())
	if a := g.change("/admin/log-level?level=info"); a.status != 401 {
		t.Errorf("with the token of before: %d %s", a.status, a.body)
	}
	if _, text := g.adminGet("/debug/config"); strings.Contains(text, "horse") || !strings.Contains(text, "admin_token: xxxxx") {
		t.Errorf("the configuration is shown as\n%s", text)
	}
}

// The log's level changes at once, and the change is in the log at any level.
func TestAdminLogLevel(t *testing.T) {
	g := start(t, guarded, serveRaw(t).url())
	for _, level := range []string{"error", "warn", "debug", "info"} {
		if a := g.change("/admin/log-level?level=" + level); a.status != 200 || !strings.Contains(a.body, `"level": "`+level+`"`) {
			t.Errorf("%s: %d %s", level, a.status, a.body)
		}
		if !strings.Contains(g.log.String(), "to="+strings.ToUpper(level)) {
			t.Errorf("the change to %s is not in the log", level)
		}
		if got := g.level.Level().String(); got != strings.ToUpper(level) {
			t.Errorf("the level is %s, want %s", got, level)
		}
	}
	for _, bad := range []string{"", "?level=", "?level=loud", "?level=INFO%2B1", "?Level=debug"} {
		if a := g.change("/admin/log-level" + bad); a.status != 400 || !strings.Contains(a.body, "debug, info, warn, error") {
			t.Errorf("%q: %d %s", bad, a.status, a.body)
		}
	}
	if g.level.Level() != slog.LevelInfo {
		t.Errorf("a level that is none changed it to %s", g.level.Level())
	}
}

// A lane is paused and resumed as by overtake queue pause: on the broker.
func TestAdminPausesLanes(t *testing.T) {
	queues, onBroker := openNATS(t)
	g := start(t, guarded+"routes: [{match: {path: /jobs}, queue: jobs}, {upstream: app}]\nqueues: {jobs: {}}\n", serveRaw(t).url(), queues)
	paused := func() (all []string) {
		t.Helper()
		lanes, err := onBroker.Inspect(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, lane := range lanes {
			if lane.Paused {
				all = append(all, lane.Class)
			}
		}
		return all
	}
	for range 2 { // what is paused can be paused
		if a := g.change("/admin/queues/jobs/batch/pause"); a.status != 200 || !strings.Contains(a.body, `"paused": true`) {
			t.Errorf("pause: %d %s", a.status, a.body)
		}
		if got := paused(); len(got) != 1 || got[0] != "batch" {
			t.Errorf("paused are %q", got)
		}
	}
	if a := g.change("/admin/queues/jobs/batch/resume"); a.status != 200 || !strings.Contains(a.body, `"paused": false`) {
		t.Errorf("resume: %d %s", a.status, a.body)
	}
	if got := paused(); len(got) != 0 {
		t.Errorf("paused are %q", got)
	}
	if a := g.change("/admin/queues/jobs/pause"); a.status != 200 || !strings.Contains(a.body, `"paused": true`) || !strings.Contains(a.body, `"standard"`) {
		t.Errorf("pause the queue: %d %s", a.status, a.body)
	}
	if got := paused(); len(got) != 3 {
		t.Errorf("of the whole queue, paused are %q", got)
	}
	if a := g.change("/admin/queues/jobs/resume"); a.status != 200 {
		t.Errorf("resume the queue: %d %s", a.status, a.body)
	}
	if got := paused(); len(got) != 0 {
		t.Errorf("paused are %q", got)
	}
	if a := g.askAdmin("POST", "/admin/queues/jobs/pause"); a.status != 401 || len(paused()) != 0 {
		t.Errorf("without the token: %d %s", a.status, a.body)
	}
	for target, want := range map[string]string{
		"/admin/queues/jbs/batch/pause":    "want one of: jobs",
		"/admin/queues/jbs/pause":          "want one of: jobs",
		"/admin/queues/jobs/restart":       "404",
		"/admin/queues/jobs/urgent/pause":  "want one of: interactive, standard, batch",
		"/admin/queues/jobs/dead/pause":    "want one of: interactive",
		"/admin/queues/jobs/batch/restart": "404",
	} {
		if a := g.change(target); a.status != 404 || !strings.Contains(a.body, want) {
			t.Errorf("%s: %d %s, want %q", target, a.status, a.body, want)
		}
	}
}
