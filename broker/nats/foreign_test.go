package nats

import (
	"bufio"
	"fmt"
	"strings"
	"testing"
	"time"

	"overtake/broker"
)

// publishRaw publishes with a header that no client library would write.
func publishRaw(t *testing.T, server *Server, subject, header, body string) {
	t.Helper()
	c, err := server.InProcessConn()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	br := bufio.NewReader(c)
	if _, err := br.ReadString('\n'); err != nil { // INFO, which the server writes first
		t.Fatal(err)
	}
	header = "NATS/1.0\r\n" + header + "\r\n"
	fmt.Fprintf(c, "CONNECT {\"headers\":true,\"verbose\":false,\"protocol\":1}\r\nHPUB %s %d %d\r\n%s%s\r\nPING\r\n",
		subject, len(header), len(header)+len(body), header, body)
	for {
		line, err := br.ReadString('\n')
		if err != nil || strings.HasPrefix(line, "-ERR") {
			t.Fatal(line, err)
		}
		if line == "PONG\r\n" {
			return
		}
	}
}

// TestForeignHeaderThatIsNone: whatever is wrong with the header of a message of
// others, it becomes a dead letter that can be replayed.
func TestForeignHeaderThatIsNone(t *testing.T) {
	b := startBroker(t, t.TempDir())
	for i, test := range []struct{ header, kept string }{
		{"http-field-X-A : v\r\n", "http-field-X-A_"}, {"http-field- : v\r\n", "http-field-_"}, {"http-field-: v\r\n", "http-field-"},
		{" : v\r\n", "_"}, {"a b: v\r\n", "a_b"}, {"ä: v\r\n", "__"}, {"overtake-dead-reason : v\r\n", "overtake-dead-reason_"},
		{": w\r\nx: v\r\n", "x"}, {"Nats-Msg-Id : m\r\nx: v\r\n", "x"}, {"no colon\r\n", ""},
	} {
		header := test.header
		q := b.open(t, QueueConfig{Name: fmt.Sprintf("q%d", i)})
		publishRaw(t, b.server, q.subject("batch"), header, "body")
		d, err := consumer(t, q).Next(testContext(t), "batch")
		if err != nil {
			t.Fatalf("%q: %v", header, err)
		}
		if err := d.Dead(testContext(t), "why"); err != nil {
			t.Errorf("%q: %v", header, err)
			continue
		}
		letters, err := q.DeadLetters(testContext(t), 2)
		if err != nil || len(letters) != 1 || string(letters[0].Body) != "body" || letters[0].Reason != "why" ||
			letters[0].Class != "batch" {
			t.Errorf("%q: dead letters %+v, %v; want one, with its body, class and reason", header, letters, err)
		}
		if got := letters[0].Header.Get(test.kept); test.kept != "" && got != "v" {
			t.Errorf("%q: %q is %q, in %q", header, test.kept, got, letters[0].Header)
		}
		if n, err := q.Replay(testContext(t), func(*broker.DeadLetter) bool { return true }); n != 1 || err != nil {
			t.Errorf("%q: replayed %d, %v", header, n, err)
		}
	}
}
