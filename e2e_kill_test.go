//go:build e2e

package main

import (
	"fmt"
	"slices"
	"sync"
	"testing"
)

// killSlots is how many deliveries a gateway of these tests has under way at
// most; batch jobs may take half of it.
const killSlots = 8

// queueConfig is a gateway whose every request is a job, delivered to the app.
// Batch has no floor, which could use slots of the reserve.
func queueConfig(t *testing.T, app string) string {
	return fmt.Sprintf(`
classes: [{name: interactive, reserve: %d}, {name: batch, floor: 0%%}]
rules: [{name: interactive, class: interactive, match: {path: /interactive/**}}]
default_class: batch
upstreams: {app: {servers: [%q], limit: {mode: fixed, max: %d}, timeout: 10m}}
brokers: {local: {type: nats, embedded: true, dir: %q}}
queues: {jobs: {deliver: {upstream: app}}}
routes: [{queue: jobs}]
`, killSlots/2, app, killSlots, t.TempDir())
}

// settled returns how many deliveries the broker knows to be done.
func (g gatewayProgram) settled(t *testing.T) int {
	done := 0.0
	for _, class := range []string{"interactive", "batch"} {
		done += g.metric(t, fmt.Sprintf(`overtake_deliveries_total{class=%q,queue="jobs",result="done"}`, class))
	}
	return int(done)
}

// A gateway that is killed with a queue of 1,000 loses none of it, and only what
// was being worked on comes again. The app holds work of both classes back until
// the kill, so that exactly that is known.
func TestE2EKillWhileDelivering(t *testing.T) {
	const before = 150 // answered of each class before the kill
	var app *recorder
	app = newRecorder(t, func(d *delivery) bool { return app.answered(d.class) >= before })
	file := writeConfig(t, queueConfig(t, app.url))
	g := runGateway(t, file)

	posts := publish(t, g.url, "batch", 500, nil)
	app.await(t, "batch is held", func() bool {
		return app.answered("batch") == before && len(app.deliveries) == before+killSlots/2
	})
	posts = append(posts, publish(t, g.url, "interactive", 500, nil)...)
	app.await(t, "both classes are held", func() bool {
		return app.answered("") == 2*before && len(app.deliveries) == 2*before+killSlots
	})
	for _, p := range posts {
		if p.id == "" {
			t.Fatalf("job %s was not confirmed", p.job)
		}
	}
	eventually(t, "what the app has answered is settled", func() bool { return g.settled(t) == 2*before })

	underWay := map[string]bool{}
	for _, d := range app.all() {
		if !d.answered {
			underWay[d.job] = true
		}
	}
	g.kill(t)
	app.hold(nil)
	g = runGateway(t, file)
	app.await(t, "all jobs are done", func() bool { return app.answered("") >= len(posts) })
	eventually(t, "all is settled", func() bool { return g.settled(t) == len(posts)-2*before })
	g.stop(t)

	again := repeated(checkDelivered(t, posts, app.all()))
	for _, job := range again {
		if !underWay[job] {
			t.Errorf("job %s came again, which was done before the kill", job)
		}
	}
	t.Logf("%d jobs, %d under way at the kill, repeated: %v", len(posts), len(underWay), again)
}

// The same without holding still: answers whose acknowledgement was on its way
// to the broker may come again, too. A lane has at most one for each slot.
func TestE2EKillAtFullSpeed(t *testing.T) {
	app := newRecorder(t, func(*delivery) bool { return true })
	file := writeConfig(t, queueConfig(t, app.url))
	g := runGateway(t, file)
	posts := slices.Concat(publish(t, g.url, "batch", 500, nil), publish(t, g.url, "interactive", 500, nil))
	app.hold(nil)
	app.await(t, "400 jobs are done", func() bool { return app.answered("") >= 400 })
	g.kill(t)
	killed := app.all()
	g = runGateway(t, file)
	app.await(t, "all jobs are done", func() bool { return app.done(posts) })
	g.stop(t)

	again := repeated(checkDelivered(t, posts, app.all()))
	const lanes, inDoubt = 2, 2 * killSlots
	if len(again) > lanes*inDoubt {
		t.Errorf("%d jobs came again, want at most %d", len(again), lanes*inDoubt)
	}
	t.Logf("%d jobs, killed after %d deliveries, %d of them answered; repeated: %v", len(posts), len(killed), countAnswered(killed), again)
}

// What was answered with 202 is delivered, whenever the gateway is killed.
func TestE2EKillWhilePublishing(t *testing.T) {
	app := newRecorder(t, func(*delivery) bool { return true })
	file := writeConfig(t, queueConfig(t, app.url))
	g := runGateway(t, file)

	var state watched
	confirmed := 0
	count := func() { state.change(func() { confirmed++ }) }
	var posts [2][]post
	var publishing sync.WaitGroup
	for i, class := range []string{"interactive", "batch"} {
		publishing.Go(func() { posts[i] = publish(t, g.url, class, 1000, count) })
	}
	if !state.await(t.Context(), func() bool { return confirmed >= 500 }) {
		t.Fatal("the jobs are not confirmed")
	}
	g.kill(t)
	publishing.Wait()
	app.hold(nil)
	g = runGateway(t, file)
	all := slices.Concat(posts[0], posts[1])
	app.await(t, "what was confirmed is done", func() bool { return app.done(all) })
	g.stop(t)

	times := checkDelivered(t, all, app.all())
	unconfirmed := 0
	for _, p := range all {
		if p.id == "" && times[p.job] > 0 {
			unconfirmed++
		}
	}
	t.Logf("killed with %d jobs confirmed; delivered beside those: %d of %d; repeated: %v",
		confirmed, unconfirmed, len(all)-confirmed, repeated(times))
}
