// Package natstest runs real NATS servers, as processes of their own, for tests:
// one, or a cluster. The server is built from the version in go.mod.
//
// Tests that need no process run the embedded server of package nats instead,
// which starts faster.
package natstest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"overtake/broker/brokertest/freeport"
)

// patience bounds every wait. It is long, as the machine may be slow, and
// decides nothing.
const patience = time.Minute

// Options change how servers are started. The zero value is a server with
// JetStream that lets everybody in.
type Options struct {
	// Config is added to the server's configuration file.
	Config string
	// NoJetStream leaves JetStream off.
	NoJetStream bool
}

// Server is a NATS server process on ports of 127.0.0.1 and a folder of its own.
// It ends with
// the test that started it first.
type Server struct {
	// Name is the server's name, Dir its folder.
	Name, Dir string

	client, monitor string // addresses, which outlive a restart
	file            string // the configuration

	cmd *exec.Cmd
}

// Start starts a server and returns when it is ready.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s := prepare(t, "single", freeAddresses(t, 2), o, "")
	s.start(t)
	s.awaitReady(t)
	return s
}

// Cluster is servers that know each other.
type Cluster []*Server

// StartCluster starts a cluster of n servers and returns when it is ready.
func StartCluster(t testing.TB, n int, o Options) Cluster {
	t.Helper()
	addresses := freeAddresses(t, 3*n)
	routes := addresses[:n]
	var c Cluster
	for i, route := range routes {
		others := slices.Concat(routes[:i], routes[i+1:])
		section := fmt.Sprintf("cluster {name: test, listen: %q, routes: [nats://%s]}\n", route, strings.Join(others, ", nats://"))
		s := prepare(t, fmt.Sprint("node", i), addresses[n+2*i:n+2*i+2], o, section)
		s.start(t)
		c = append(c, s)
	}
	for _, s := range c {
		s.awaitReady(t)
	}
	return c
}

// prepare writes the configuration of a server that listens on addresses.
func prepare(t testing.TB, name string, addresses []string, o Options, section string) *Server {
	t.Helper()
	dir := t.TempDir()
	s := &Server{Name: name, Dir: dir, client: addresses[0], monitor: addresses[1], file: filepath.Join(dir, "nats.conf")}
	config := fmt.Sprintf("server_name: %s\nlisten: %q\nhttp: %q\n%s%s\n", name, s.client, s.monitor, section, o.Config)
	if !o.NoJetStream {
		config += fmt.Sprintf("jetstream {store_dir: %q, max_memory_store: 64MB, max_file_store: 100GB}\n", filepath.Join(dir, "data"))
	}
	if err := os.WriteFile(s.file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.Running() {
			s.Kill(t)
		}
		if t.Failed() {
			log, _ := os.ReadFile(s.log()) // none: it did not come to that
			t.Logf("%s:\n%s", s.Name, log)
		}
	})
	return s
}

func (s *Server) log() string { return filepath.Join(s.Dir, "nats.log") }

// URL returns where clients connect to.
func (s *Server) URL() string { return "nats://" + s.client }

// URLs returns where clients connect to.
func (c Cluster) URLs() []string {
	var urls []string
	for _, s := range c {
		urls = append(urls, s.URL())
	}
	return urls
}

func (s *Server) start(t testing.TB) {
	t.Helper()
	cmd := exec.Command(binary(t), "-c", s.file, "-l", s.log())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.cmd = cmd
}

// Running reports whether the server has been started and not ended.
func (s *Server) Running() bool { return s.cmd != nil }

// Kill ends the server as kill -9 does.
func (s *Server) Kill(t testing.TB) { t.Helper(); s.end(t, syscall.SIGKILL) }

// Stop ends the server in good order.
func (s *Server) Stop(t testing.TB) { t.Helper(); s.end(t, syscall.SIGTERM) }

func (s *Server) end(t testing.TB, signal os.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		t.Fatalf("%s: %v", s.Name, err)
	}
	_ = s.cmd.Wait() // how it ended does not matter
	s.cmd = nil
}

// Restart starts a server that has ended, on the same addresses and folder, and
// returns when it is ready.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.start(t)
	s.awaitReady(t)
}

// awaitReady waits until the server has recovered what it stores and, in a
// cluster, has caught up with the others.
func (s *Server) awaitReady(t testing.TB) {
	t.Helper()
	s.await(t, "ready", func() bool { _, err := s.ask(t, "/healthz"); return err == nil })
}

// await asks holds now and then: what it asks is in another process.
func (s *Server) await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for deadline := time.After(patience); !holds(); {
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("%s is not %s after %v", s.Name, what, patience)
		}
	}
}

// monitoring keeps no connection, which would outlive the test.
var monitoring = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// ask fetches a monitoring page.
func (s *Server) ask(t testing.TB, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.monitor+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := monitoring.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(resp.Body); err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s: %s", path, resp.Status, body.String())
	}
	return body.Bytes(), nil
}

// Leader waits until the stream and its consumers have leaders that run, and
// returns the stream's.
func (c Cluster) Leader(t testing.TB, stream string) *Server {
	t.Helper()
	var leader *Server
	c[0].await(t, "in a cluster with leaders of "+stream+" and its consumers", func() bool {
		leader = nil
		for _, s := range c {
			if !s.Running() {
				continue
			}
			seen := s.leaderOf(t, c, stream)
			if seen == nil || leader != nil && seen != leader {
				return false // they must agree
			}
			leader = seen
		}
		return leader != nil
	})
	return leader
}

// leaderOf returns the stream's leader as s knows it, nil if that or the one of a
// consumer is unknown or does not run.
func (s *Server) leaderOf(t testing.TB, c Cluster, stream string) *Server {
	running := func(name string) int {
		return slices.IndexFunc(c, func(s *Server) bool { return s.Name == name && s.Running() })
	}
	for _, state := range s.streams(t) {
		if state.Name != stream {
			continue
		}
		for _, consumer := range state.Consumers {
			if running(consumer.Cluster.Leader) < 0 {
				return nil
			}
		}
		if i := running(state.Cluster.Leader); i >= 0 {
			return c[i]
		}
	}
	return nil
}

// Stored returns how many messages each stream has on s, and how many of them its
// consumers have in hand.
func (s *Server) Stored(t testing.TB) map[string]int {
	t.Helper()
	stored := make(map[string]int)
	for _, state := range s.streams(t) {
		stored[state.Name] = state.State.Messages
		for _, consumer := range state.Consumers {
			stored[state.Name+" in hand"] += consumer.InHand
		}
	}
	return stored
}

// streamState is what the server's monitoring tells of a stream.
type streamState struct {
	Name      string                 `json:"name"`
	Cluster   raftState              `json:"cluster"`
	State     struct{ Messages int } `json:"state"`
	Consumers []struct {
		Cluster raftState `json:"cluster"`
		InHand  int       `json:"num_ack_pending"`
	} `json:"consumer_detail"`
}

type raftState struct{ Leader string }

// streams returns the streams, none if the server does not answer.
func (s *Server) streams(t testing.TB) (streams []streamState) {
	t.Helper()
	page, err := s.ask(t, "/jsz?streams=true&consumers=true")
	if err != nil {
		return nil
	}
	var state struct {
		Accounts []struct {
			Streams []streamState `json:"stream_detail"`
		} `json:"account_details"`
	}
	if err := json.Unmarshal(page, &state); err != nil {
		t.Fatal(err)
	}
	for _, account := range state.Accounts {
		streams = append(streams, account.Streams...)
	}
	return streams
}

// freeAddresses returns n different addresses that are free.
func freeAddresses(t testing.TB, n int) []string {
	t.Helper()
	ports, err := freeport.Choose(n)
	if err != nil {
		t.Fatal(err)
	}
	addresses := make([]string, n)
	for i, port := range ports {
		addresses[i] = fmt.Sprintf("127.0.0.1:%d", port)
	}
	return addresses
}

// build builds the server once per process. It stays in the user's cache: a test
// binary has no place of its own that outlives one test and ends with it.
var build = sync.OnceValues(func() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "overtake-test")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	// Several test binaries may do this at the same time; the last one wins.
	path := filepath.Join(dir, "nats-server")
	unfinished := fmt.Sprintf("%s.%d", path, os.Getpid())
	cmd := exec.Command("go", "build", "-o", unfinished, "github.com/nats-io/nats-server/v2")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("%w: %s", err, out), os.Remove(unfinished))
	}
	return path, os.Rename(unfinished, path)
})

func binary(t testing.TB) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatalf("build nats-server: %v", err)
	}
	return path
}
