package nats

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"overtake/broker"
)

// The tests here need a second process: the test binary starts itself with
// these variables set, and TestMain runs the named child.
const (
	childEnv    = "OVERTAKE_NATS_TEST_CHILD"
	childDirEnv = "OVERTAKE_NATS_TEST_DIR"
)

var children = map[string]func(dir string){
	"publish": childPublish,
	"consume": childConsume,
	"lock":    childLock,
	"forget":  childForget,
}

// child is a process running one of the children, and what it prints.
type child struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

func startChild(t *testing.T, name, dir string) *child {
	t.Helper()
	return startChildWith(t, name, dir, func(*exec.Cmd) {})
}

func startChildWith(t *testing.T, name, dir string, change func(*exec.Cmd)) *child {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+name, childDirEnv+"="+dir)
	cmd.Stderr = t.Output()
	change(cmd)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: cmd, lines: bufio.NewScanner(out)}
	t.Cleanup(c.kill)
	return c
}

// kill ends the child with SIGKILL. It may be called again.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// read returns the next line that the child prints, or false at its end. The
// lines that it printed before it was killed can still be read.
func (c *child) read() (string, bool) {
	if !c.lines.Scan() {
		return "", false
	}
	return c.lines.Text(), true
}

// childBroker is startBroker without a test around it.
func childBroker(dir string) (*Server, *Queue) {
	log := slog.New(slog.DiscardHandler)
	s, err := StartServer(ServerConfig{Dir: dir, Logger: log})
	exitOn(err)
	conn, err := Connect(ConnConfig{Server: s, Logger: log})
	exitOn(err)
	q, err := conn.OpenQueue(context.Background(), crashQueue)
	exitOn(err)
	return s, q
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

var crashQueue = QueueConfig{Name: "jobs", Classes: []string{"interactive", "batch"}, AckWait: time.Second}

// childPublish publishes from many goroutines until it is killed, and prints
// every ID that was confirmed.
func childPublish(dir string) {
	_, q := childBroker(dir)
	p := q.Publisher()
	var mu sync.Mutex
	for g := range 16 {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("g%d-%d", g, i)
				exitOn(p.Publish(context.Background(), &broker.Message{ID: id, Class: "batch", Body: make([]byte, 256)}))
				mu.Lock()
				fmt.Println(id)
				mu.Unlock()
			}
		}()
	}
	select {}
}

// childConsume publishes ten messages, settles half of them and prints them,
// and holds the others until it is killed.
func childConsume(dir string) {
	_, q := childBroker(dir)
	p, c := q.Publisher(), q.Consumer()
	ctx := context.Background()
	for i := range 10 {
		exitOn(p.Publish(ctx, &broker.Message{ID: fmt.Sprint("m", i), Class: "batch"}))
	}
	for i := range 10 {
		d, err := c.Next(ctx, "batch")
		exitOn(err)
		if i%2 == 0 {
			exitOn(d.Done(ctx))
			fmt.Println("done", d.ID)
		} else {
			fmt.Println("held", d.ID)
		}
	}
	fmt.Println("ready")
	select {}
}

func childLock(dir string) {
	_, err := StartServer(ServerConfig{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	fmt.Println(err)
}

// childForget changes a record as a job does, and prints "ready" when it has
// expired.
func childForget(dir string) {
	log, ctx := slog.New(slog.DiscardHandler), context.Background()
	s, err := StartServer(ServerConfig{Dir: dir, Logger: log})
	exitOn(err)
	conn, err := Connect(ConnConfig{Server: s, Logger: log})
	exitOn(err)
	j, err := conn.OpenJobs(ctx, JobsConfig{})
	exitOn(err)
	exitOn(j.Save(ctx, &broker.Record{ID: "kept", Value: []byte("queued")}))
	r := &broker.Record{ID: "A", Value: []byte("queued"), Keep: time.Hour}
	exitOn(j.Save(ctx, r))
	r.Value = []byte("running")
	exitOn(j.Save(ctx, r))
	r.Value, r.Keep = []byte("done"), time.Second
	exitOn(j.Save(ctx, r))
	for now := *r; now.Revision > 0; {
		now, err = j.Load(ctx, "A")
		exitOn(err)
		time.Sleep(10 * time.Millisecond)
	}
	fmt.Println("ready")
	select {}
}

// killPublisher runs a server with publishers in dir, kills it, and returns what
// was confirmed.
func killPublisher(t *testing.T, dir string) (confirmed map[string]bool) {
	t.Helper()
	c := startChild(t, "publish", dir)
	confirmed = make(map[string]bool)
	for line, ok := c.read(); ok; line, ok = c.read() {
		if confirmed[line] = true; len(confirmed) == 500 {
			if err := c.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.kill()
	if len(confirmed) < 500 {
		t.Fatalf("the child confirmed %d messages and ended", len(confirmed))
	}
	return confirmed
}

func TestKilledPublisherLosesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	confirmed := killPublisher(t, dir)
	ctx := testContext(t)
	q := startBroker(t, dir).open(t, crashQueue)
	con := consumer(t, q)
	seen := make(map[string]bool)
	for range lanes(t, q)[1].Depth {
		d, err := con.Next(ctx, "batch")
		if err != nil {
			t.Fatal(err)
		}
		if seen[d.ID] {
			t.Errorf("%s is there twice", d.ID)
		}
		seen[d.ID] = true
		if err := d.Done(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for id := range confirmed {
		if !seen[id] {
			t.Errorf("%s was confirmed and is lost", id)
		}
	}
	t.Logf("%d confirmed, %d stored", len(confirmed), len(seen))
}

func TestKilledConsumerRepeatsOnlyWhatWasInDoubt(t *testing.T) {
	t.Parallel()
	t.Run("killed at once", func(t *testing.T) {
		// The server may not have written down the deliveries; see the
		// package documentation.
		killConsumer(t, func(string) {}, 1, 2)
	})
	t.Run("killed later", func(t *testing.T) {
		killConsumer(t, func(dir string) {
			state := filepath.Join(dir, "jetstream", "$G", "streams", "jobs_batch", "obs", consumerName, "o.dat")
			// Heartbeats make the server write its state again and again.
			for ready := time.Now(); ; {
				info, err := os.Stat(state)
				if err == nil && info.ModTime().After(ready) {
					return
				}
				if time.Since(ready) > patience {
					t.Fatalf("%s was not written: %v", state, err)
				}
			}
		}, 2, 2)
	})
}

// killConsumer kills a child that has settled some deliveries and holds
// others, when wait returns, and consumes what is left.
func killConsumer(t *testing.T, wait func(dir string), minAttempt, maxAttempt int) {
	dir := t.TempDir()
	c := startChild(t, "consume", dir)
	held := make(map[string]bool)
	for line, ok := c.read(); line != "ready"; line, ok = c.read() {
		if !ok {
			t.Fatal("the child ended early")
		}
		if id, ok := strings.CutPrefix(line, "held "); ok {
			held[id] = true
		}
	}
	wait(dir)
	c.kill()

	ctx := testContext(t)
	q := startBroker(t, dir).open(t, crashQueue)
	con := consumer(t, q)
	for len(held) > 0 {
		d, err := con.Next(ctx, "batch")
		if err != nil {
			t.Fatalf("%v of what was held did not come: %v", held, err)
		}
		if !held[d.ID] {
			t.Errorf("%s came, which was done", d.ID)
		}
		delete(held, d.ID)
		if d.Attempt < minAttempt || d.Attempt > maxAttempt {
			t.Errorf("%s: attempt %d, want %d to %d", d.ID, d.Attempt, minAttempt, maxAttempt)
		}
		if err := d.Done(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if lane := lanes(t, q)[1]; lane != (Lane{Class: "batch"}) {
		t.Errorf("lane %+v, want it empty", lane)
	}
}

func TestFolderIsLocked(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, dir)
	want := fmt.Sprintf("nats: broker folder %q is in use by process %d; stop it or give this one another dir", dir, os.Getpid())

	t.Run("against another process", func(t *testing.T) {
		c := startChild(t, "lock", dir)
		if got, _ := c.read(); got != want {
			t.Errorf("error %q, want %q", got, want)
		}
	})
	t.Run("against the same process", func(t *testing.T) {
		if _, err := StartServer(ServerConfig{Dir: dir}); err == nil || err.Error() != want {
			t.Errorf("error %v, want %q", err, want)
		}
	})
	t.Run("until the server has shut down", func(t *testing.T) {
		b.stop(t)
		b.start(t)
	})
}

// A record that expired is not there again, as it was before its last change.
func TestForgottenRecordStaysSoAfterAKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := startChild(t, "forget", dir)
	if line, _ := c.read(); line != "ready" {
		t.Fatalf("the child said %q, want ready", line)
	}
	c.kill()
	if r := load(t, openJobs(t, startBroker(t, dir), JobsConfig{}), "A"); r.Revision != 0 {
		t.Errorf("the record is back, at revision %d: %s", r.Revision, r.Value)
	}
}
