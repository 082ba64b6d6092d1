package config

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// writeCertificate puts a self-signed certificate into the working directory.
func writeCertificate(t *testing.T, cert, key string) {
	t.Helper()
	writeCertificateUntil(t, cert, key, time.Now().Add(90*24*time.Hour))
}

// writeCertificateUntil is writeCertificate for one that ends then.
func writeCertificateUntil(t *testing.T, cert, key string, end time.Time) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// The example that the documentation shows is accepted as it stands.
func TestContract(t *testing.T) {
	example, err := filepath.Abs("testdata/contract.yaml")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	writeCertificate(t, "tls.crt", "tls.key")
	c, err := Load(example, lookup)
	if err != nil {
		t.Fatalf("the example is refused:\n%v", err)
	}
	if len(c.Warnings) > 0 {
		t.Errorf("warnings: %v", c.Warnings)
	}
	if got := c.Classes[0]; got.Objective != 25*time.Millisecond || got.MaxWaitingBytes != 64<<20 || got.Deadline != 10*time.Second || !got.Reserve.Auto {
		t.Errorf("interactive is %+v", got)
	}
	if got := c.Classes[1]; got.Floor != 1000 || got.MaxWait != 10*time.Second || got.MaxWaiting != 1000 {
		t.Errorf("standard is %+v", got)
	}
	if got, want := c.Upstreams["app"].Limit, (Limit{Mode: "adaptive", Initial: 16, Min: 2, Max: 512}); got != want {
		t.Errorf("the limit is %+v, want %+v", got, want)
	}
	if got := c.Brokers["rabbit"].URL; got != variables["RABBITMQ_URL"] {
		t.Errorf("the broker's URL is %q", got)
	}
	if got := c.Queues["jobs"]; got.Deliver.Path != "/work" || got.MaxBody != 1<<20 {
		t.Errorf("jobs is %+v", got)
	}

	shown, err := c.Redacted()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(shown, []byte("hunter2")) || !bytes.Contains(shown, []byte("${RABBITMQ_URL}")) {
		t.Errorf("the configuration shows its secret:\n%s", shown)
	}
	checkRoundTrip(t, c)
}

func TestCertificateOfAnotherKey(t *testing.T) {
	t.Chdir(t.TempDir())
	writeCertificate(t, "a.crt", "a.key")
	writeCertificate(t, "b.crt", "b.key")
	_, err := Parse("overtake.yaml", []byte("listeners: [{address: \":443\", tls: {cert: a.crt, key: b.key}}]"), lookup)
	if err == nil || !strings.HasPrefix(err.Error(), "overtake.yaml:1:31: listeners[0].tls: not a certificate and its key") {
		t.Errorf("error is %v", err)
	}
}

// Who checks a file, or starts or reloads by it, is told of certificates that have
// ended, or will within two weeks.
func TestExpiringCertificates(t *testing.T) {
	t.Chdir(t.TempDir())
	day := 24 * time.Hour
	for _, tc := range []struct {
		end  time.Time
		want string
	}{
		{time.Now().Add(-day), "expired on"},
		{time.Now().Add(14*day - time.Minute), "expires on"},
		{time.Now().Add(14*day + time.Minute), ""},
	} {
		writeCertificate(t, "a.crt", "a.key")
		writeCertificateUntil(t, "b.crt", "b.key", tc.end)
		c, err := Parse("overtake.yaml", []byte(`listeners: [{address: ":443", tls: {cert: a.crt, key: a.key, certificates: [{cert: b.crt, key: b.key}]}}]
upstreams: {app: {servers: ["http://127.0.0.1:9000"]}}`), lookup)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		if tc.want != "" {
			want = []string{"overtake.yaml:1:84: listeners[0].tls.certificates[0].cert: the certificate b.crt " + tc.want + " " + tc.end.UTC().Format("2006-01-02 15:04 UTC")}
		}
		if len(c.Warnings) != len(want) || len(want) > 0 && !strings.HasPrefix(c.Warnings[0].String(), want[0]) {
			t.Errorf("warnings %v, want %q", c.Warnings, want)
		}
	}
}

func TestDefault(t *testing.T) {
	c, err := Default("http://127.0.0.1:9000/", "unix:///run/app.sock")
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) > 0 {
		t.Errorf("warnings: %v", c.Warnings)
	}
	if got := c.Upstreams["app"]; !slices.Equal(got.Servers, []string{"http://127.0.0.1:9000", "unix:///run/app.sock"}) || got.Limit != (Limit{Mode: "adaptive", Initial: 16, Min: 2, Max: 512}) || got.Timeout != 30*time.Second {
		t.Errorf("app is %+v", got)
	}
	if l := c.Listeners[0]; l.Name != "public" || l.Address != ":8080" || l.Role != "ingress" || !*l.AbortOnClose {
		t.Errorf("listener is %+v", l)
	}
	if i := c.Classes[0]; i.Name != "interactive" || i.Objective != 25*time.Millisecond || !i.Reserve.Auto || i.Overload != "newest_first" {
		t.Errorf("interactive is %+v", i)
	}
	if c.DefaultClass != "standard" || c.Admin != "127.0.0.1:9901" || c.Expose != "trusted" || c.DrainTimeout != 30*time.Second || len(c.Rules) != 0 {
		t.Errorf("configuration is %+v", c)
	}
	if len(c.Routes) != 1 || c.Routes[0].Upstream != "app" || !c.Routes[0].Match.isEverything() {
		t.Errorf("routes are %+v", c.Routes)
	}
	checkRoundTrip(t, c)
}

// What is written is never replaced by a default, not even a zero.
func TestZerosAreKept(t *testing.T) {
	c, err := Parse("overtake.yaml", []byte(`
classes: [{name: standard, floor: 0%, max_waiting: 0, max_waiting_bytes: 0, max_wait: 0}]
tracing: {sample: 0}
drain_timeout: 0
`), lookup)
	if err != nil {
		t.Fatal(err)
	}
	want := Class{Name: "standard"}
	if c.Classes[0] != want || c.Tracing.Sample != 0 || c.DrainTimeout != 0 {
		t.Errorf("configuration is %+v", c)
	}
	checkRoundTrip(t, c)
}

func TestDefaultLimit(t *testing.T) {
	for text, want := range map[string]Limit{
		"{}":                           {Mode: "adaptive", Initial: 16, Min: 2, Max: 512},
		"{mode: adaptive}":             {Mode: "adaptive", Initial: 16, Min: 2, Max: 512},
		"{initial: 1}":                 {Mode: "adaptive", Initial: 1, Min: 1, Max: 512},
		"{initial: 600}":               {Mode: "adaptive", Initial: 600, Min: 2, Max: 600},
		"{min: 20}":                    {Mode: "adaptive", Initial: 20, Min: 20, Max: 512},
		"{mode: adaptive, max: 1}":     {Mode: "adaptive", Initial: 1, Min: 1, Max: 1},
		"{max: 8}":                     {Mode: "fixed", Max: 8}, // as before there was another mode
		"{mode: fixed}":                {Mode: "fixed", Max: 64},
		"{mode: off}":                  {Mode: "off"},
		"{initial: 4, min: 3, max: 8}": {Mode: "adaptive", Initial: 4, Min: 3, Max: 8},
	} {
		c, err := Parse("overtake.yaml", []byte("upstreams: {app: {servers: [\"http://a:1\"], limit: "+text+"}}"), lookup)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := c.Upstreams["app"].Limit; got != want {
			t.Errorf("%s is %+v, want %+v", text, got, want)
		}
		checkRoundTrip(t, c)
	}
}

func TestDefaultObjective(t *testing.T) {
	for text, want := range map[string]Class{
		"{name: interactive}":                 {Objective: 25 * time.Millisecond, Reserve: Reserve{Auto: true}, Overload: "newest_first"},
		"{name: interactive, reserve: 1}":     {Objective: 25 * time.Millisecond, Reserve: Reserve{Slots: 1}, Overload: "newest_first"},
		"{name: interactive, reserve: 0}":     {Objective: 25 * time.Millisecond, Overload: "newest_first"},
		"{name: interactive, objective: 0s}":  {},
		"{name: interactive, overload: fifo}": {Objective: 25 * time.Millisecond, Reserve: Reserve{Auto: true}, Overload: "fifo"},
		"{name: urgent}":                      {},
		"{name: urgent, objective: 1s}":       {Objective: time.Second, Overload: "newest_first"},
	} {
		c, err := Parse("overtake.yaml", []byte("classes: ["+text+"]"), lookup)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got := c.Classes[0]
		if got.Objective != want.Objective || got.Reserve != want.Reserve || got.Overload != want.Overload {
			t.Errorf("%s is %+v, want %+v", text, got, want)
		}
		checkRoundTrip(t, c)
	}
}

func TestDefaultsByName(t *testing.T) {
	for text, want := range map[string]string{
		"classes: [{name: a}]":                                   "a",
		"classes: [{name: a}, {name: b}]":                        "b",
		"classes: [{name: a}, {name: b}, {name: c}]":             "b",
		"classes: [{name: a}, {name: b}, {name: c}, {name: d}]":  "c",
		"classes: [{name: standard}, {name: b}, {name: urgent}]": "standard",
	} {
		c, err := Parse("overtake.yaml", []byte(text), lookup)
		if err != nil || c.DefaultClass != want {
			t.Errorf("%s: default class %q, error %v; want %q", text, c.DefaultClass, err, want)
		}
	}
}

func TestQueueDefaults(t *testing.T) {
	c, err := Parse("overtake.yaml", []byte(`
upstreams: {app: {servers: ["http://a:1"]}}
queues: {jobs: {deliver: {}}}
routes: [{queue: jobs}]
`), lookup)
	if err != nil {
		t.Fatal(err)
	}
	if q := c.Queues["jobs"]; q.Broker != "local" || q.Deliver.Upstream != "app" || q.Attempts != 5 || q.Strategy != "lanes" || q.MaxBody != 1<<20 {
		t.Errorf("jobs is %+v", q)
	}
	if b := c.Brokers["local"]; !reflect.DeepEqual(b, Broker{
		Type: "nats", Embedded: true, Dir: "./overtake-data", Sync: "interval", Memory: 64 << 20, MaxBytes: 1 << 30,
	}) {
		t.Errorf("local is %+v", b)
	}
	checkRoundTrip(t, c)
}

func TestLoadMissingFile(t *testing.T) {
	_, err := Load("testdata/none.yaml", lookup)
	if err == nil || err.Error() != "testdata/none.yaml: can't be read: no such file or directory" {
		t.Errorf("error is %v", err)
	}
}

func TestReserveOf(t *testing.T) {
	for _, test := range []struct {
		reserve Reserve
		limit   int
		want    int
	}{
		{Reserve{}, 10, 0},
		{Reserve{Auto: true}, 10, 0},
		{Reserve{Slots: 3}, 10, 3},
		{Reserve{Share: 1000}, 10, 1},
		{Reserve{Share: 1000}, 11, 2},
	} {
		if got := test.reserve.Of(test.limit); got != test.want {
			t.Errorf("%s of %d is %d, want %d", test.reserve, test.limit, got, test.want)
		}
	}
}

// checkRoundTrip reads what Redacted writes: it is the same configuration.
func checkRoundTrip(t *testing.T, c *Config) {
	t.Helper()
	text, err := c.Redacted()
	if err != nil {
		t.Fatal(err)
	}
	back, err := Parse("overtake.yaml", text, lookup)
	if err != nil {
		t.Fatalf("what Redacted writes is refused:\n%v\n%s", err, text)
	}
	before, after := *c, *back
	before.Warnings, after.Warnings = nil, nil
	before.source, after.source = nil, nil
	if !reflect.DeepEqual(before, after) {
		t.Errorf("after a round trip\n%+v\nwas\n%+v", after, before)
	}
}
