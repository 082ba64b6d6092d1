package nats

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"overtake/broker"
)

// oldServer says that it is of a version, lets clients in, and answers nothing
// else, as old servers do when they are asked for what they don't know.
func oldServer(t *testing.T, version string) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				fmt.Fprintf(conn, "INFO {\"version\":%q,\"headers\":true,\"jetstream\":true,\"max_payload\":1048576}\r\n", version)
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					if lines.Text() == "PING" {
						fmt.Fprint(conn, "PONG\r\n")
					}
				}
			})
		}
	})
	t.Cleanup(serving.Wait)
	t.Cleanup(func() { l.Close() })
	return "nats://" + l.Addr().String()
}

// A server that is too old is named at once, rather than waited for.
func TestServerIsTooOld(t *testing.T) {
	cfg := QueueConfig{Name: "jobs", Classes: []string{"batch"}}
	for what, test := range map[string]struct {
		version, want string
		do            func(*Conn) error
	}{
		"a queue": {"2.8.4", "update all servers to that or later", func(c *Conn) error {
			_, err := c.OpenQueue(testContext(t), cfg)
			return err
		}},
		"jobs": {"2.10.29", "2.11", func(c *Conn) error {
			_, err := c.OpenJobs(testContext(t), JobsConfig{})
			return err
		}},
		"a pause": {"2.10.0-RC.1", "2.11", func(c *Conn) error {
			q, err := c.Queue(cfg)
			if err != nil {
				return err
			}
			return q.SetPaused(testContext(t), "batch", true)
		}},
		"a purge": {"1.4.1", "2.11", func(c *Conn) error {
			q, err := c.Queue(cfg)
			if err != nil {
				return err
			}
			_, err = q.Purge(testContext(t), "batch")
			return err
		}},
	} {
		t.Run(what, func(t *testing.T) {
			conn := connect(t, ConnConfig{URLs: []string{oldServer(t, test.version)}, Logger: slog.New(slog.DiscardHandler)})
			err := test.do(conn)
			if err == nil || !strings.Contains(err.Error(), "NATS "+test.version) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %s and %q", err, test.version, test.want)
			}
			if errors.Is(err, broker.ErrUnavailable) {
				t.Errorf("error %v says that trying again would help", err)
			}
		})
	}
}
