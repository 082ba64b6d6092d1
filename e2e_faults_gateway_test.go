//go:build e2e

package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"overtake/broker/rabbitmq/rabbitmqtest"
)

// gatewaySite is a gateway that is killed and started again; before that, change
// does what else is to be done to it.
func gatewaySite(t *testing.T, l *ledger, file func(app string) string, change func(*testing.T)) site {
	t.Helper()
	app := httptest.NewServer(l)
	t.Cleanup(app.Close)
	config := file(app.URL)
	g := runGateway(t, config)
	var url atomic.Value
	url.Store(g.url)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * faultPosters}, Timeout: patience}
	t.Cleanup(client.CloseIdleConnections)
	return site{
		log:    func() string { return g.text() },
		up:     func(t *testing.T) bool { return g.metric(t, `overtake_queue_up{queue="jobs"}`) == 1 },
		stored: func(t *testing.T) map[string]int { return storedByCommand(t, config) },
		post: func(class, name string) string {
			return postJob(client, url.Load().(string), &post{job: name, class: class})
		},
		strike: func(t *testing.T) { g.kill(t) },
		heal: func(t *testing.T) {
			change(t)
			g = runGateway(t, config)
			url.Store(g.url)
		},
	}
}

// storedByCommand asks a running gateway's embedded broker.
func storedByCommand(t *testing.T, config string) map[string]int {
	t.Helper()
	list, _ := tool(t, binary, "queue", "list", "-c", config, "--json")
	var lanes []struct {
		Class   string
		Waiting int
		InHand  int `json:"in_hand"`
	}
	if err := json.Unmarshal([]byte(list), &lanes); err != nil {
		t.Fatalf("%v in %s", err, list)
	}
	stored := map[string]int{}
	for _, lane := range lanes {
		stored[lane.Class] = lane.Waiting + lane.InHand
	}
	return stored
}

// embeddedSite is a gateway with the embedded broker, which has one more setting;
// change, if not nil, gets the broker's folder while the gateway is dead.
func embeddedSite(setting string, change func(t *testing.T, dir string)) func(*testing.T, *ledger) site {
	return func(t *testing.T, l *ledger) site {
		s := embeddedIn(t, l, t.TempDir(), setting, change)
		if change != nil {
			s.said = []string{"was cut off.*stream=jobs_batch", "was cut off.*stream=jobs_interactive"}
		}
		return s
	}
}

func embeddedIn(t *testing.T, l *ledger, dir, setting string, change func(t *testing.T, dir string)) site {
	t.Helper()
	file := func(app string) string {
		lines := strings.Split(queueConfig(t, app), "\n")
		i := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "brokers:") })
		lines[i] = fmt.Sprintf("brokers: {local: {type: nats, embedded: true, dir: %q, %s}}", dir, setting)
		return writeConfig(t, strings.Join(lines, "\n"))
	}
	return gatewaySite(t, l, file, func(t *testing.T) {
		if change != nil {
			change(t, dir)
		}
	})
}

func gatewayOnRabbit(t *testing.T, l *ledger) site {
	var server *rabbitmqtest.Server
	s := gatewaySite(t, l, func(app string) string {
		var config string
		server, config = startRabbitMQ(t, app, "queue_type: quorum")
		return writeConfig(t, config)
	}, nothing)
	s.stored = func(t *testing.T) map[string]int { return storedInRabbit(t, server) }
	return s
}

// tear adds half a message to the newest block of each lane: one that was being
// written, and so was not confirmed.
func tear(t *testing.T, dir string) {
	t.Helper()
	changeBlocks(t, dir, func(b []byte) []byte { return append(b, b[:min(len(b), 100)]...) })
}

// cutShort takes the end of the newest message of each lane, which was confirmed: a
// disk that did not keep what it had said to be written.
func cutShort(t *testing.T, dir string) {
	t.Helper()
	changeBlocks(t, dir, func(b []byte) []byte { return b[:len(b)-10] })
}

// changeBlocks changes the newest file of messages of each lane.
func changeBlocks(t *testing.T, dir string, change func([]byte) []byte) {
	t.Helper()
	for _, class := range faultClasses {
		blocks, err := filepath.Glob(filepath.Join(dir, "jetstream", "$G", "streams", "jobs_"+class, "msgs", "*.blk"))
		if err != nil || len(blocks) == 0 {
			t.Fatalf("no block files of %s: %v", class, err)
		}
		newest := slices.MaxFunc(blocks, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
		content, err := os.ReadFile(newest)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(newest, change(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// diskFull fills the disk of an embedded broker, and makes room again.
func diskFull(t *testing.T, l *ledger) site {
	disk := mountDisk(t)
	s := embeddedIn(t, l, disk.data, "sync: interval", nil)
	round := 0
	s.strike = disk.fill
	s.heal = func(t *testing.T) {
		round++
		number := 0
		eventually(t, "a job is refused, and the queue is said to be down", func() bool {
			number++
			return !l.post(s, "batch", fmt.Sprintf("full-%d-%d", round, number)) && !s.up(t)
		})
		disk.free(t)
		eventually(t, "the queue is said to be up", func() bool { return s.up(t) })
	}
	return s
}

// disk is one that can be filled.
type disk struct{ data, filler string }

// mountDisk mounts a disk of 64 MiB.
func mountDisk(t *testing.T) disk {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64m"); err != nil {
		t.Fatalf("a disk to fill, which only root can mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return disk{filepath.Join(dir, "data"), filepath.Join(dir, "filler")}
}

func (d disk) fill(t *testing.T) {
	t.Helper()
	// It fails where the disk ends, which is the point.
	if err := os.WriteFile(d.filler, make([]byte, 64<<20), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
}

func (d disk) free(t *testing.T) {
	t.Helper()
	if err := os.Remove(d.filler); err != nil {
		t.Fatal(err)
	}
}
