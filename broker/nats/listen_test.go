package nats

import (
	"net"
	"strings"
	"testing"

	"overtake/broker/nats/natstest"
)

// Others can connect to an embedded server that listens, if they know its token.
func TestEmbeddedServerListens(t *testing.T) {
	cert := natstest.NewCertificate(t)
	for _, test := range []struct {
		name, scheme string
		server       ServerConfig
		client       ConnConfig
		wrong        ConnConfig // refused, if it says anything
	}{
		{"open to loopback", "nats://", ServerConfig{}, ConnConfig{}, ConnConfig{}},
		{"with a token", "nats://", ServerConfig{Token: "right"}, ConnConfig{Token: "right"}, ConnConfig{Token: "wrong"}},
		{
			"with TLS", "tls://", ServerConfig{Token: "right", TLS: TLSFiles{Cert: cert.Cert, Key: cert.Key}},
			ConnConfig{Token: "right", TLS: TLSFiles{CA: cert.CA}}, ConnConfig{Token: "right"},
		},
		{"with client certificates", "tls://", ServerConfig{TLS: TLSFiles(cert)}, ConnConfig{TLS: TLSFiles(cert)}, ConnConfig{TLS: TLSFiles{CA: cert.CA}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.server.Listen, test.server.Dir, test.server.Logger = "127.0.0.1:0", t.TempDir(), testLog(t)
			s, err := StartServer(test.server)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := s.Shutdown(testContext(t)); err != nil {
					t.Error(err)
				}
			})
			inside, err := connect(t, ConnConfig{Server: s, Logger: testLog(t)}).OpenQueue(testContext(t), QueueConfig{Name: "jobs", Classes: []string{"batch"}})
			if err != nil {
				t.Fatal(err)
			}
			publish(t, inside, "batch", "m")

			test.client.URLs, test.client.Logger = []string{test.scheme + s.Addr().String()}, testLog(t)
			q, err := connect(t, test.client).OpenQueue(testContext(t), QueueConfig{Name: "jobs", Classes: []string{"batch"}})
			if err != nil {
				t.Fatal(err)
			}
			if err := next(t, consumer(t, q), "batch", "m", 1).Done(testContext(t)); err != nil {
				t.Error(err)
			}
			if test.wrong.Token == "" && test.wrong.TLS == (TLSFiles{}) {
				return
			}
			test.wrong.URLs, test.wrong.Logger = test.client.URLs, testLog(t)
			if conn, err := Connect(test.wrong); err == nil {
				_ = conn.Close(testContext(t))
				t.Error("it let somebody in who should not")
			}
		})
	}
}

func TestServerRefusesBadListen(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, test := range map[string]struct {
		cfg  ServerConfig
		want string
	}{
		"everybody":          {ServerConfig{Listen: ":4222"}, "give a token, or listen on 127.0.0.1"},
		"another host":       {ServerConfig{Listen: "192.0.2.1:4222"}, "give a token"},
		"no port":            {ServerConfig{Listen: "127.0.0.1"}, "write host:port"},
		"a named port":       {ServerConfig{Listen: "127.0.0.1:nats"}, "write host:port"},
		"taken":              {ServerConfig{Listen: taken.Addr().String()}, "free the address or give another"},
		"token for nobody":   {ServerConfig{Token: "x"}, "for Listen, which is not given"},
		"TLS for nobody":     {ServerConfig{TLS: TLSFiles{Cert: "x"}}, "for Listen, which is not given"},
		"no such TLS files":  {ServerConfig{Listen: "127.0.0.1:0", TLS: TLSFiles{Cert: "/none/c", Key: "/none/k"}}, "/none/c"},
		"half a certificate": {ServerConfig{Listen: "127.0.0.1:0", TLS: TLSFiles{Cert: "/none/c"}}, "TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			test.cfg.Dir, test.cfg.Logger = t.TempDir(), testLog(t)
			s, err := StartServer(test.cfg)
			if err == nil {
				_ = s.Shutdown(testContext(t))
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}
