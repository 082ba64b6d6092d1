package tracing

import (
	"math/big"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The deadline is the earliest that came, and timeouts leave as what remains.
func TestTimeouts(t *testing.T) {
	const in5s, in7s = "Latency-Deadline: 1790000005000", "Latency-Deadline: 1790000007000"
	for _, test := range []struct {
		sent     []string
		deadline time.Duration // from now, 0 for none
		after    time.Duration // when it is stamped
		grpc     string
		envoy    string
	}{
		{nil, 0, 0, "", ""},
		{[]string{in5s}, 5 * time.Second, 0, "", ""},
		{[]string{"grpc-timeout: 6S"}, 6 * time.Second, time.Second, "5000000u", ""},
		{[]string{"GRPC-Timeout: 6S", in5s}, 5 * time.Second, time.Second, "4000000u", ""},
		{[]string{"grpc-timeout: 6S", in7s}, 6 * time.Second, 0, "6000000u", ""},
		{[]string{"x-envoy-expected-rq-timeout-ms: 6000"}, 6 * time.Second, time.Second + 1, "", "4999"},
		{[]string{"X-Envoy-Expected-RQ-Timeout-MS: 6000", "grpc-timeout: 3S"}, 3 * time.Second, time.Second, "2000000u", "2000"},
		{[]string{"x-envoy-expected-rq-timeout-ms: 1", in5s}, time.Millisecond, time.Second, "", "1"},
		{[]string{"grpc-timeout: 1m"}, time.Millisecond, time.Second, "1n", ""},
		{[]string{"x-envoy-expected-rq-timeout-ms: 0", in5s}, 5 * time.Second, 0, "", ""},
		{[]string{"x-envoy-expected-rq-timeout-ms: 5s", in5s}, 5 * time.Second, 0, "", ""},
		{[]string{"grpc-timeout: 1S", "grpc-timeout: 2S", in5s}, 5 * time.Second, 0, "", ""},
		{[]string{"x-envoy-expected-rq-timeout-ms: 1", "x-envoy-expected-rq-timeout-ms: 1"}, 0, 0, "", ""},
		{[]string{in5s, in7s}, 0, 0, "", ""},
	} {
		h := sent(test.sent...)
		trail := extracted(h)
		want := time.Time{}
		if test.deadline != 0 {
			want = now.Add(test.deadline)
		}
		if !trail.Deadline.Equal(want) {
			t.Errorf("%q: deadline %v, want %v", test.sent, trail.Deadline, want)
		}
		trail.Stamp(h, now.Add(test.after))
		if got := h.get("grpc-timeout"); got != test.grpc {
			t.Errorf("%q: grpc-timeout %q, want %q", test.sent, got, test.grpc)
		}
		if got := h.get("x-envoy-expected-rq-timeout-ms"); got != test.envoy {
			t.Errorf("%q: Envoy's timeout %q, want %q", test.sent, got, test.envoy)
		}
	}
}

// What can't be unix milliseconds is no deadline at all.
func TestParseDeadline(t *testing.T) {
	for in, want := range map[string]time.Time{
		"1000000000000":          time.UnixMilli(1000000000000),
		"9999999999999":          time.UnixMilli(9999999999999),
		"":                       {},
		"0":                      {},
		"5000":                   {}, // a duration
		"1800000000":             {}, // seconds
		"1800000000000000000000": {},
		"-180000000000":          {},
		"-1800000000000":         {},
		"+180000000000":          {},
		"0180000000000":          {},
		"18000000000.0":          {},
		"1_800_000_000":          {},
		"1800000000000, 1":       {},
	} {
		if got := parseDeadline(in); !got.Equal(want) || got.IsZero() != want.IsZero() {
			t.Errorf("%q: %v, want %v", in, got, want)
		}
	}
}

var deadlineRE = regexp.MustCompile(`^[1-9][0-9]{12}$`)

func FuzzDeadline(f *testing.F) {
	f.Add("1800000000123")
	f.Add("0180000000012")
	f.Fuzz(func(t *testing.T, s string) {
		d := parseDeadline(s)
		if written := string(appendDeadline(nil, d)); deadlineRE.MatchString(s) && written != s || !deadlineRE.MatchString(s) && written != "" {
			t.Errorf("%q: %v, written as %q", s, d, written)
		}
	})
}

var grpcTimeoutRE = regexp.MustCompile(`^([0-9]{1,8})([HMSmun])$`)

func FuzzGRPCTimeout(f *testing.F) {
	for _, s := range []string{"1S", "99999999H", "00000001n", "100m", "0u", "-1S", "1s"} {
		f.Add(s)
	}
	units := map[string]time.Duration{
		"H": time.Hour, "M": time.Minute, "S": time.Second, "m": time.Millisecond, "u": time.Microsecond, "n": time.Nanosecond,
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, ok := parseGRPCTimeout(s)
		m := grpcTimeoutRE.FindStringSubmatch(s)
		if ok != (m != nil) {
			t.Fatalf("%q: valid %v", s, ok)
		}
		if !ok {
			return
		}
		n, _ := new(big.Int).SetString(m[1], 10)
		n.Mul(n, big.NewInt(int64(units[m[2]])))
		if limit := big.NewInt(int64(maxTimeout)); n.Cmp(limit) > 0 {
			n = limit
		}
		if n.Cmp(big.NewInt(int64(d))) != 0 {
			t.Errorf("%q: %v, want %v ns", s, d, n)
		}
		written := string(appendGRPCTimeout(nil, d))
		again, ok := parseGRPCTimeout(written)
		if !ok || again > max(d, 1) || d-again > d/10_000_000 {
			t.Errorf("%q: %v is written as %q", s, d, written)
		}
	})
}

func FuzzEnvoyTimeout(f *testing.F) {
	f.Add("15000")
	f.Add("999999999999999999")
	f.Add("0x1")
	f.Fuzz(func(t *testing.T, s string) {
		d, ok := parseEnvoyTimeout(s)
		n, numeric := new(big.Int).SetString(s, 10)
		numeric = numeric && !strings.ContainsAny(s, "+-_") && len(s) <= 18 && n.Sign() > 0
		if ok != numeric || ok && n.Cmp(big.NewInt(d.Milliseconds())) != 0 && d != maxTimeout || d > maxTimeout {
			t.Errorf("%q: %v %v", s, d, ok)
		}
	})
}
