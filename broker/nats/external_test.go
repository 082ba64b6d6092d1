package nats

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"overtake/broker"
	"overtake/broker/nats/natstest"
)

// keyPair returns a new pair with its public key, and the path of a file with
// the seed.
func keyPair(t *testing.T, make func() (nkeys.KeyPair, error)) (pair nkeys.KeyPair, public, file string) {
	t.Helper()
	pair, err := make()
	if err != nil {
		t.Fatal(err)
	}
	if public, err = pair.PublicKey(); err != nil {
		t.Fatal(err)
	}
	seed, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	return pair, public, writeFile(t, "user.nk", seed)
}

func writeFile(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// operatorMode returns the configuration of a server that trusts an operator,
// and the credentials file of a user of an account with JetStream.
func operatorMode(t *testing.T) (config, credentials string) {
	t.Helper()
	operator, operatorKey, _ := keyPair(t, nkeys.CreateOperator)
	account, accountKey, _ := keyPair(t, nkeys.CreateAccount)
	_, systemKey, _ := keyPair(t, nkeys.CreateAccount)
	user, userKey, _ := keyPair(t, nkeys.CreateUser)
	encode := func(claims jwt.Claims, by nkeys.KeyPair) string {
		text, err := claims.Encode(by)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	accountClaims := jwt.NewAccountClaims(accountKey)
	accountClaims.Limits.JetStreamLimits = jwt.JetStreamLimits{DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit}
	config = fmt.Sprintf("operator: %s\nsystem_account: %s\nresolver: MEMORY\nresolver_preload: {%s: %s, %s: %s}\n",
		encode(jwt.NewOperatorClaims(operatorKey), operator), systemKey,
		accountKey, encode(accountClaims, operator), systemKey, encode(jwt.NewAccountClaims(systemKey), operator))
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	file, err := jwt.FormatUserConfig(encode(jwt.NewUserClaims(userKey), account), seed)
	if err != nil {
		t.Fatal(err)
	}
	return config, writeFile(t, "user.creds", file)
}

func TestAuthentication(t *testing.T) {
	cert := natstest.NewCertificate(t)
	_, nkey, seedFile := keyPair(t, nkeys.CreateUser)
	_, _, strangerFile := keyPair(t, nkeys.CreateUser)
	operator, credentials := operatorMode(t)
	_, strangerCredentials := operatorMode(t)
	user := func(userinfo string) func(*ConnConfig) {
		return func(c *ConnConfig) { c.URLs[0] = strings.Replace(c.URLs[0], "://", "://"+userinfo+"@", 1) }
	}
	for _, test := range []struct {
		name, server string
		right, wrong func(*ConnConfig)
		want         string // in the error of wrong
	}{
		{"user and password", "authorization {user: u, password: right}", user("u:right"), user("u:wrong"), "Authorization Violation; give the credentials"},
		{
			"token", "authorization {token: right}",
			func(c *ConnConfig) { c.Token = "right" }, func(c *ConnConfig) { c.Token = "wrong" }, "Authorization Violation; give",
		},
		{"token in the URL", "authorization {token: right}", user("right"), func(*ConnConfig) {}, "Authorization Violation; give"},
		{
			"nkey", fmt.Sprintf("authorization {users: [{nkey: %s}]}", nkey),
			func(c *ConnConfig) { c.NKey = seedFile }, func(c *ConnConfig) { c.NKey = strangerFile }, "Authorization Violation; give",
		},
		{
			"credentials", operator,
			func(c *ConnConfig) { c.Credentials = credentials }, func(c *ConnConfig) { c.Credentials = strangerCredentials }, "Authorization Violation; give",
		},
		{
			"client certificate", fmt.Sprintf("tls {cert_file: %q, key_file: %q, ca_file: %q, verify: true}", cert.Cert, cert.Key, cert.CA),
			func(c *ConnConfig) { c.TLS = TLSFiles(cert) }, func(c *ConnConfig) { c.TLS.CA = cert.CA }, "tls.cert and tls.key",
		},
		{
			"authority", fmt.Sprintf("tls {cert_file: %q, key_file: %q}", cert.Cert, cert.Key),
			func(c *ConnConfig) { c.TLS.CA = cert.CA }, func(*ConnConfig) {}, "as tls.ca",
		},
		{"no TLS", "", func(*ConnConfig) {}, func(c *ConnConfig) { c.TLS.CA = cert.CA }, "the server has no TLS"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := natstest.Start(t, natstest.Options{Config: test.server})
			cfg := ConnConfig{URLs: []string{s.URL()}, Logger: testLog(t)}
			test.right(&cfg)
			q, err := connect(t, cfg).OpenQueue(testContext(t), QueueConfig{Name: "jobs", Classes: []string{"batch"}})
			if err != nil {
				t.Fatal(err)
			}
			publish(t, q, "batch", "m")
			if err := next(t, consumer(t, q), "batch", "m", 1).Done(testContext(t)); err != nil {
				t.Error(err)
			}

			cfg = ConnConfig{URLs: []string{s.URL()}, Logger: testLog(t)}
			test.wrong(&cfg)
			conn, err := Connect(cfg)
			if err == nil {
				_ = conn.Close(testContext(t))
				t.Fatal("it connected with the wrong credentials")
			}
			place := strings.TrimPrefix(s.URL(), "nats://")
			if text := err.Error(); !strings.Contains(text, place) || !strings.Contains(text, test.want) || strings.Contains(text, "wrong") {
				t.Errorf("error %q, want one with %q and %q and no secret", text, place, test.want)
			}
		})
	}
}

func TestConnectRefusesBadConfig(t *testing.T) {
	urls := []string{"nats://127.0.0.1:1"}
	garbage := writeFile(t, "garbage", []byte("garbage"))
	for name, test := range map[string]struct {
		cfg  ConnConfig
		want string
	}{
		"neither":          {ConnConfig{}, "one of an embedded server, its folder and URLs"},
		"both":             {ConnConfig{Server: new(Server), URLs: urls}, "one of an embedded server, its folder and URLs"},
		"no credentials":   {ConnConfig{URLs: urls, Credentials: "/none/x.creds"}, "/none/x.creds"},
		"no nkey":          {ConnConfig{URLs: urls, NKey: "/none/x.nk"}, "/none/x.nk"},
		"nkey of nobody":   {ConnConfig{URLs: urls, NKey: garbage}, "seed of a user"},
		"no authority":     {ConnConfig{URLs: urls, TLS: TLSFiles{CA: "/none/ca.pem"}}, "/none/ca.pem"},
		"no certificate":   {ConnConfig{URLs: urls, TLS: TLSFiles{CA: garbage}}, garbage},
		"half of the pair": {ConnConfig{URLs: urls, TLS: TLSFiles{Cert: garbage}}, "client certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Connect(test.cfg)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

// What a server that was reached will never do is an error with a remedy.
func TestOpenQueueSaysWhatTheServerLacks(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, want string
		options    natstest.Options
		replicas   int
	}{
		{"JetStream", "enable JetStream on the server", natstest.Options{NoJetStream: true}, 1},
		{
			"JetStream in the account", "enable JetStream on the server (nats-server -js) and for the account",
			natstest.Options{Config: "accounts {A: {users: [{user: u, password: p}]}}\nno_auth_user: u"}, 1,
		},
		{
			"rights", "allow the user to publish to $JS.API.>",
			natstest.Options{Config: `authorization {users: [{user: u, password: p, permissions: {publish: ["jobs.*"]}}]}` + "\nno_auth_user: u"}, 1,
		},
		{"a cluster", "3 replicas take as many servers", natstest.Options{}, 3},
		{"room", "give the queue smaller lanes", natstest.Options{NoJetStream: true, Config: fmt.Sprintf("jetstream {store_dir: %q, max_file_store: 1MB}", t.TempDir())}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := natstest.Start(t, test.options)
			conn := connect(t, ConnConfig{URLs: []string{s.URL()}, Logger: slog.New(slog.DiscardHandler)})
			_, err := conn.OpenQueue(testContext(t), QueueConfig{Name: "jobs", Classes: []string{"batch"}, Replicas: test.replicas})
			if err == nil || !strings.Contains(err.Error(), `queue "jobs"`) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with the queue and %q", err, test.want)
			}
			if errors.Is(err, broker.ErrUnavailable) {
				t.Errorf("error %v says that trying again would help", err)
			}
		})
	}
}

// A gateway starts while its broker is away, says so at once to who publishes,
// and goes on when the broker comes.
func TestServerComesLater(t *testing.T) {
	ctx := testContext(t)
	s := natstest.Start(t, natstest.Options{})
	s.Stop(t)
	var log bytes.Buffer
	conn := connect(t, ConnConfig{URLs: []string{s.URL()}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	q, err := conn.OpenQueue(ctx, QueueConfig{Name: "jobs", Classes: []string{"batch"}})
	if err != nil {
		t.Fatal(err)
	}
	if text := log.String(); strings.Count(text, "level=WARN") != 2 || !strings.Contains(text, "trying on") || !strings.Contains(text, "queue=jobs") {
		t.Errorf("log %q, want one warning about the connection and one about the queue", text)
	}
	p, c := publisher(t, q), consumer(t, q)
	start := time.Now()
	if err := p.Publish(ctx, &broker.Message{ID: "early", Class: "batch"}); !errors.Is(err, broker.ErrUnavailable) {
		t.Errorf("publish: error %v, want %v", err, broker.ErrUnavailable)
	}
	if _, err := q.Lanes(ctx); !errors.Is(err, broker.ErrUnavailable) {
		t.Errorf("lanes: error %v, want %v", err, broker.ErrUnavailable)
	}
	if took := time.Since(start); took > confirmTimeout/2 {
		t.Errorf("publish and lanes took %v, which is not at once", took)
	}
	came := make(chan error, 1)
	go func() {
		d, err := c.Next(ctx, "batch") // as a gateway that waits for work
		if err == nil {
			err = d.Done(ctx)
		}
		came <- err
	}()

	s.Restart(t)
	for {
		err := p.Publish(ctx, &broker.Message{ID: "m", Class: "batch"})
		if err == nil {
			break
		}
		if !errors.Is(err, broker.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	if err := <-came; err != nil {
		t.Error(err)
	}
	for _, err := q.Lanes(ctx); err != nil; _, err = q.Lanes(ctx) {
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

// A connection that ends before the server ever came leaves nothing behind.
func TestCloseWithoutServer(t *testing.T) {
	conn := connect(t, ConnConfig{URLs: []string{"nats://127.0.0.1:1"}, Logger: slog.New(slog.DiscardHandler)})
	q, err := conn.OpenQueue(testContext(t), QueueConfig{Name: "jobs", Classes: []string{"batch"}})
	if err != nil {
		t.Fatal(err)
	}
	publisher(t, q)
	consumer(t, q)
	if err := conn.Ping(testContext(t)); !errors.Is(err, broker.ErrUnavailable) {
		t.Errorf("ping: error %v, want %v", err, broker.ErrUnavailable)
	}
}
