package loadgen

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"overtake/loadgen/arrival"
	"overtake/loadgen/content"
)

// serveTLS runs a server with a certificate that nobody trusts.
func serveTLS(t *testing.T, config *tls.Config, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = config
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// What is wrong with TLS is said before anything is sent.
func TestUnusableTLSTarget(t *testing.T) {
	var requests atomic.Int64
	server := serveTLS(t, nil, func(http.ResponseWriter, *http.Request) { requests.Add(1) })
	plain := httptest.NewServer(server.Config.Handler)
	t.Cleanup(plain.Close)
	for url, want := range map[string][]string{
		server.URL: {"certificate", "is not trusted", "--insecure"},
		strings.Replace(plain.URL, "http:", "https:", 1): {"does not speak TLS", "is it " + plain.URL + "?"},
	} {
		sc := Scenario{Target: url, Duration: time.Hour, Classes: []Class{{Name: "a", Arrivals: arrival.Steady(100), Request: content.Spec{Path: "/"}}}}
		report, err := Run(t.Context(), sc, Options{})
		if err == nil || report != nil {
			t.Fatalf("%s: %v, report %v", url, err, report)
		}
		for _, part := range want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v, want %q", url, err, part)
			}
		}
	}
	if requests.Load() != 0 {
		t.Errorf("%d requests were sent", requests.Load())
	}
}

func TestSpeaksTLS(t *testing.T) {
	server := serveTLS(t, nil, func(http.ResponseWriter, *http.Request) {})
	plain := httptest.NewServer(server.Config.Handler)
	t.Cleanup(plain.Close)
	ln, away := listen(t)
	_ = ln.Close()
	for url, want := range map[string]bool{
		strings.Replace(server.URL, "https:", "http:", 1): true,
		server.URL: false, plain.URL: false, away: false, "nats://" + plain.Listener.Addr().String(): false,
	} {
		if got := SpeaksTLS(t.Context(), url); got != want {
			t.Errorf("%s: %v", url, got)
		}
	}
}

func TestTLSFailuresHaveTheirKind(t *testing.T) {
	var handshakes atomic.Int64
	server := serveTLS(t, &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if handshakes.Add(1) == 1 { // before the run
			return nil, nil
		}
		return nil, net.ErrClosed
	}}, func(http.ResponseWriter, *http.Request) {})
	got, _ := runClass(t, server.URL, 100*time.Millisecond, Class{Name: "a", Arrivals: arrival.Steady(100), Request: content.Spec{Path: "/"}},
		Options{TLS: &tls.Config{InsecureSkipVerify: true}})
	if got.Sent == 0 || got.Failed[FailTLS] != got.Sent {
		t.Errorf("failed %v of %d", got.Failed, got.Sent)
	}
}

// A server that answers without reading holds up its own requests and nothing else, also
// when the run ends.
func TestTLSServerThatDoesNotRead(t *testing.T) {
	ln, url := listen(t)
	defer func() { _ = ln.Close() }()
	certificate := serveTLS(t, nil, nil).TLS.Certificates
	url = strings.Replace(url, "http:", "https:", 1)
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			_ = nc.(*net.TCPConn).SetReadBuffer(4 << 10)
			secure := tls.Server(nc, &tls.Config{Certificates: certificate})
			for err = secure.Handshake(); err == nil; {
				_, err = io.WriteString(secure, okAnswer)
				time.Sleep(100 * time.Microsecond)
			}
			_ = nc.Close()
		}
	}()
	begun := time.Now()
	got, _ := runClass(t, url, time.Second, Class{
		Name: "a", Arrivals: arrival.Steady(2000), Connections: Connections{Max: 1}, Request: content.Spec{Method: "POST", Path: "/", Body: make([]byte, 7000)},
	}, Options{TLS: &tls.Config{InsecureSkipVerify: true}, RequestTimeout: time.Second, Grace: -1})
	if got.Sent == 0 || time.Since(begun) > 30*time.Second {
		t.Errorf("sent %d, took %v", got.Sent, time.Since(begun))
	}
	_ = ln.Close()
	<-served
}
