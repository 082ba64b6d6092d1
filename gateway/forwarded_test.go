package gateway

import (
	"strings"
	"testing"
)

// What a trusted proxy says about the client's own request, by the X-Forwarded-* or by
// Forwarded, an app reads in both, from either end. A stranger is not listened to.
func TestForwardedAgrees(t *testing.T) {
	const own = "for=127.0.0.1;host=shop.example"
	for _, tc := range []struct {
		name, received       string
		forwarded, addresses string
		host, proto          string
		untrusted            bool
	}{
		{
			name:      "nothing",
			forwarded: own + ";proto=http", addresses: "127.0.0.1", proto: "http",
		},
		{
			name:      "X-Forwarded",
			received:  "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n",
			forwarded: "for=203.0.113.7;host=shop.example;proto=https, " + own + ";proto=https", addresses: "203.0.113.7, 127.0.0.1", proto: "https",
		},
		{
			name:      "X-Forwarded of several proxies",
			received:  "X-Forwarded-For: 2001:db8::7, [2001:db8::8]:99,,10.1.1.1:80\r\nX-Forwarded-Proto: https, http\r\nX-Forwarded-Host: www.example:8443, inner\r\n",
			forwarded: `for="[2001:db8::7]";host="www.example:8443";proto=https, for="[2001:db8::8]", for=10.1.1.1, for=127.0.0.1;host="www.example:8443";proto=https`,
			addresses: "2001:db8::7, [2001:db8::8]:99,,10.1.1.1:80, 127.0.0.1", host: "www.example:8443, inner", proto: "https, http",
		},
		{
			name:      "X-Forwarded-For with more than addresses",
			received:  "X-Forwarded-For: _a;proto=ftp, \"x, fe80::1%\", 203.0.113.7\r\nX-Forwarded-Proto: https\r\n",
			forwarded: "for=unknown;host=shop.example;proto=https, for=unknown, for=unknown, for=203.0.113.7, " + own + ";proto=https",
			addresses: "_a;proto=ftp, \"x, fe80::1%\", 203.0.113.7, 127.0.0.1", proto: "https",
		},
		{
			name:      "X-Forwarded-Proto alone",
			received:  "X-Forwarded-Proto: https\r\n",
			forwarded: own + ";proto=https", addresses: "127.0.0.1", proto: "https",
		},
		{
			name:      "X-Forwarded-For alone",
			received:  "X-Forwarded-For: 203.0.113.7\r\n",
			forwarded: "for=203.0.113.7;host=shop.example;proto=http, " + own + ";proto=http", addresses: "203.0.113.7, 127.0.0.1", proto: "http",
		},
		{
			name:      "Forwarded",
			received:  "Forwarded: For=\"[2001:db8::7]:4711\"; Proto=https ;host=\"www.example:8443\"\r\nForwarded: for=_hidden;by=10.1.1.1, for=10.1.1.2;proto=http\r\n",
			forwarded: `For="[2001:db8::7]:4711"; Proto=https ;host="www.example:8443", for=_hidden;by=10.1.1.1, for=10.1.1.2;proto=http, for=127.0.0.1;host="www.example:8443";proto=https`,
			addresses: "2001:db8::7, unknown, 10.1.1.2, 127.0.0.1", host: "www.example:8443", proto: "https",
		},
		{
			name:      "Forwarded without a scheme",
			received:  "Forwarded: for=203.0.113.7\r\n",
			forwarded: "for=203.0.113.7, " + own + ";proto=http", addresses: "203.0.113.7, 127.0.0.1", proto: "http",
		},
		{
			name:      "both",
			received:  "Forwarded: for=203.0.113.7;proto=https;host=shop.example\r\nX-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n",
			forwarded: "for=203.0.113.7;proto=https;host=shop.example, " + own + ";proto=https", addresses: "203.0.113.7, 127.0.0.1", proto: "https",
		},
		{
			name:      "both, which do not agree: each is kept, and ours goes by X-Forwarded-Proto",
			received:  "Forwarded: for=198.51.100.1;proto=http\r\nX-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n",
			forwarded: "for=198.51.100.1;proto=http, " + own + ";proto=https", addresses: "203.0.113.7, 127.0.0.1", proto: "https",
		},
		{
			name:      "a Forwarded that the proxy let pass says nothing about host and scheme",
			received:  "Forwarded: for=198.51.100.1;proto=https;host=evil.example\r\nX-Forwarded-For: 203.0.113.7\r\n",
			forwarded: "for=198.51.100.1;proto=https;host=evil.example, " + own + ";proto=http", addresses: "203.0.113.7, 127.0.0.1", proto: "http",
		},
		{
			name:      "a Forwarded that would swallow ours",
			received:  "Forwarded: for=198.51.100.1;host=\"a\r\nX-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n",
			forwarded: "for=203.0.113.7;host=shop.example;proto=https, " + own + ";proto=https", addresses: "203.0.113.7, 127.0.0.1", proto: "https",
		},
		{
			name: "X-Forwarded of a stranger", untrusted: true,
			received:  "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n",
			forwarded: own + ";proto=http", addresses: "127.0.0.1", proto: "http",
		},
		{
			name: "Forwarded of a stranger", untrusted: true,
			received:  "Forwarded: for=203.0.113.7;proto=https;host=evil\r\n",
			forwarded: own + ";proto=http", addresses: "127.0.0.1", proto: "http",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			yaml := trustLoopback
			if tc.untrusted {
				yaml = ""
			}
			if tc.host == "" {
				tc.host = "shop.example"
			}
			wantFields(t, forwarded(t, yaml, "GET / HTTP/1.1\r\nHost: shop.example\r\n"+tc.received+"\r\n"), map[string][]string{
				"Forwarded": {tc.forwarded}, "X-Forwarded-For": {tc.addresses}, "X-Forwarded-Host": {tc.host}, "X-Forwarded-Proto": {tc.proto},
			})
		})
	}
}

// The first scheme counts; what has two readings has none.
func TestReadForwarded(t *testing.T) {
	for list, want := range map[string]string{
		"for=a":                               "",
		"proto=https":                         "https",
		"for=a;;proto=https,":                 "https",
		`proto="ht\tps"`:                      "https",
		"for=a, proto=wss, proto=http":        "wss",
		"host=a:80;proto=https":               "https",
		"proto=":                              "",
		"":                                    "cannot be read",
		" ,; ,":                               "cannot be read",
		"proto":                               "cannot be read",
		"=https":                              "cannot be read",
		"proto = https":                       "cannot be read",
		"proto=https http":                    "cannot be read",
		`proto="https`:                        "cannot be read",
		`proto="https\"`:                      "cannot be read",
		`proto="https"x`:                      "cannot be read",
		`proto=https;host=a"b`:                "cannot be read",
		strings.Repeat("for=a,", 9) + `for="`: "cannot be read",
	} {
		first, ok := readForwarded(list)
		got := first.proto
		if !ok {
			got = "cannot be read"
		}
		if got != want {
			t.Errorf("%s: the scheme is %q, want %q", list, got, want)
		}
	}
}
