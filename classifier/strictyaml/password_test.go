package strictyaml

import "testing"

// A URL that is written wrong is quoted in a problem, and must not bring its
// password along.
func TestWithoutPassword(t *testing.T) {
	for text, want := range map[string]string{
		"http://me:s3cr3t@host:80/x":             "http://me:xxxxx@host:80/x",
		"http://t0k3n@host":                      "http://xxxxx@host",
		"me:s3cr3t@127.0.0.1:9451":               "xxxxx@127.0.0.1:9451",
		"//me:s3cr3t@":                           "//xxxxx@",
		"http://me:s3%zzcr3t@host":               "http://xxxxx@host",
		"http://me:s3/cr3t@host/path":            "http://xxxxx@host/path",
		"http://me:s3 cr3t@host":                 "http://xxxxx@host",
		" http://me:s3cr3t@host":                 " http://xxxxx@host",
		"http:/me:s3cr3t@host":                   "xxxxx@host",
		"nats://a:s3cr3t@h1:1,nats://b:p@h2:1":   "nats://xxxxx@h2:1",
		"http://me:s3cr3t\n@host":                "http://xxxxx@host",
		"http://host:port":                       "http://host:port",
		"/users/a:b@c":                           "/users/a:b@c",
		"me@example.org":                         "me@example.org",
		`request.header("from") == "a:b@c"`:      `request.header("from") == "a:b@c"`,
		"write to a@example.org: it is answered": "write to a@example.org: it is answered",
	} {
		if got := WithoutPassword(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
