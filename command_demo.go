package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"overtake/loadgen"
)

type demoCommand struct {
	Duration time.Duration `default:"10s" help:"How long to send under each of the two conditions (default ${default})."`
	Out      string        `default:"overtake-demo" placeholder:"DIR" help:"Folder for report.html, report.json, report.png and histograms (default ${default})."`
}

// Help implements kong.HelpProvider.
func (*demoCommand) Help() string {
	return `Starts the sample app, a gateway with its embedded broker, and sends twice what the app can do: first with everything in one class, then with classes. Needs nothing but free ports on 127.0.0.1.

Example:
  overtake demo --duration 20s --out report`
}

// The demo's numbers. 8 workers can do 8 s of work a second; the load asks for
// 200*5 ms + 160*50 ms + 140*50 ms = 16 s of it.
const demoWorkers = 8

var demoLoad = []string{
	"interactive=200:/work?ms=5&for=page",
	"batch-http=160:/work?ms=50&for=report",
	"batch-jobs=140:POST /jobs/export?ms=50",
}

// demoCondition is one of the two gateways that get the same load.
type demoCondition struct {
	name    string
	classes string // the part of the configuration that differs
}

var demoConditions = []demoCondition{
	{"classes ignored", `
classes:
  - {name: standard, max_wait: 5s, max_waiting: 4000}
`},
	{"class order", `
classes:
  - {name: interactive, objective: 10ms, reserve: auto, max_wait: 5s}
  - {name: standard, floor: 10%}
  - {name: batch, floor: 5%, max_wait: 5s, max_waiting: 4000}
rules:
  - {name: pages, class: interactive, match: {path: /work, query: {for: page}}}
  - {name: reports, class: batch, match: {path: /work, query: {for: report}}}
  - {name: jobs, class: batch, match: {path: "/jobs/**"}}
`},
}

// demoConfig is what both conditions have in common. Nobody tells the gateway how many
// workers the app has: the adaptive limit finds out, and so keeps the queue in the
// gateway, where it has an order. expose: all has it tell how long that was.
const demoConfig = `
listeners: [{name: public, address: "127.0.0.1:0"}]
admin: "127.0.0.1:0"
expose: all
upstreams:
  app: {servers: ["%s"], limit: {mode: adaptive}}
brokers:
  local: {type: nats, embedded: true, dir: "%s"}
queues:
  jobs: {broker: local, deliver: {upstream: app, path: /work}}
routes:
  - {match: {path: "/jobs/**", methods: [POST]}, queue: jobs}
  - {match: {path: "/"}, upstream: app}
drain_timeout: 1s
%s`

// Run plays both conditions and tells what came of it.
func (c *demoCommand) Run(ctx context.Context) error {
	if c.Duration < time.Second {
		return &usageError{fmt.Errorf("--duration %v, want at least 1s", c.Duration)}
	}
	if err := makeReportFolder(c.Out); err != nil {
		return &usageError{err}
	}
	scratch, err := os.MkdirTemp("", "overtake-demo-")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	view := newView("demo", len(demoConditions))
	var runs []*loadgen.Report
	for i, condition := range demoConditions {
		report, err := c.play(ctx, condition, filepath.Join(scratch, fmt.Sprint(i)), view.Progress)
		if err != nil {
			return fmt.Errorf("demo: %s: %w", condition.name, err)
		}
		runs = append(runs, report)
	}
	report := loadgen.Merge(runs...)
	if err := writeReport(report, c.Out); err != nil {
		return err
	}
	if report.Verdict.State != loadgen.Valid {
		fmt.Println("\nThe machine was too busy for exact figures: run it again with nothing else running.")
	}
	fmt.Println(`
next:   front an app of your own:  overtake gateway --upstream http://127.0.0.1:9000
        drive a load at it:        overtake loadgen --target http://127.0.0.1:8080 --class 'pages=100:/'`)
	return nil
}

// play makes the run of one condition with an app and a gateway of its own.
func (c *demoCommand) play(ctx context.Context, condition demoCondition, dir string, progress func(loadgen.Progress)) (_ *loadgen.Report, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	app, err := startChild(ctx, filepath.Join(dir, "app.log"), "app", "--listen", "127.0.0.1:0", "--workers", fmt.Sprint(demoWorkers))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, app.stop()) }()
	appURL, err := app.find(ctx, `http://\S+`)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "overtake.yaml")
	text := fmt.Sprintf(demoConfig, appURL, filepath.Join(dir, "broker"), condition.classes)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	gw, err := startChild(ctx, filepath.Join(dir, "gateway.log"), "gateway", "-c", file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, gw.stop()) }()
	address, err := gw.find(ctx, `listener=public address=(\S+)`)
	if err != nil {
		return nil, err
	}
	scenario, err := c.scenario("http://" + address)
	if err != nil {
		return nil, err
	}
	return loadgen.Run(ctx, scenario, loadgen.Options{
		Condition: condition.name, Completions: appURL + "/completions", Version: version(),
		Grace: time.Second, Progress: progress,
	})
}

// scenario is the load of both conditions.
func (c *demoCommand) scenario(target string) (loadgen.Scenario, error) {
	scenario := loadgen.Scenario{Name: "demo", Target: target, Warmup: 500 * time.Millisecond, Duration: c.Duration, Seed: 1}
	for _, flag := range demoLoad {
		class, err := loadgen.ParseClassFlag(flag)
		if err != nil {
			return scenario, err
		}
		class.Class, _, _ = strings.Cut(class.Name, "-")
		class.Job = class.Request.Method == "POST"
		scenario.Classes = append(scenario.Classes, class)
	}
	return scenario, nil
}
