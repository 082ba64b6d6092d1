package gateway

import "testing"

// What only looks like an address or a name of ours is neither.
func TestHostIn(t *testing.T) {
	for field, want := range map[string]struct {
		name    string
		address bool
	}{
		"10.0.0.1":              {"", true},
		"10.0.0.1:9901":         {"", true},
		"[::1]":                 {"", true},
		"[fe80::1%25eth0]:80":   {"", true},
		"Gateway:9901":          {"gateway", false},
		"a.svc.":                {"a.svc", false},
		"evil.example:80":       {"evil.example", false},
		"":                      {"", false},
		"[]":                    {"", false},
		"[[[1.2.3.4":            {"", false},
		"[1.2.3.4]":             {"", false},
		"::1":                   {"", false},
		"fe80::1%evil.com":      {"", false},
		"localhost:evil.com":    {"", false},
		"evil.com:80:.internal": {"", false},
		"1.2.3":                 {"", false},
		"0x7f.1":                {"", false},
		"a b":                   {"", false},
	} {
		if name, address := hostIn(field); name != want.name || address != want.address {
			t.Errorf("%q: name %q, address %v, want %q, %v", field, name, address, want.name, want.address)
		}
	}
}

func TestOriginIsTheWholeOrigin(t *testing.T) {
	g := start(t, "", serveRaw(t).url())
	address := g.AdminAddr().String()
	for _, origin := range []string{"http://evil.com@" + address, "http://" + address + "#", "http://" + address + "/", "http://" + address + "?"} {
		if got := g.askAdmin("GET", "/metrics", "Origin: "+origin); got.status != 403 {
			t.Errorf("Origin %q: status %d, want 403", origin, got.status)
		}
	}
	if got := g.askAdmin("GET", "/metrics", "Origin: http://"+address); got.status != 200 {
		t.Errorf("its own origin: status %d, want 200", got.status)
	}
}
