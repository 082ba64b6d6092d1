package gateway

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The root of the admin listener lists what there is: what docs/operating.md has, and
// each link leads somewhere.
func TestAdminIndex(t *testing.T) {
	g := start(t, guarded, deadAddress(t))
	a := g.askAdmin("GET", "/")
	if a.status != 200 || !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
		t.Fatalf("%d %s", a.status, a.body)
	}
	links := regexp.MustCompile(`href="([^"]+)"`).FindAllStringSubmatch(a.body, -1)
	if len(links) < 8 {
		t.Errorf("%d links in\n%s", len(links), a.body)
	}
	for _, link := range links {
		target := "/" + strings.ReplaceAll(link[1], "&amp;", "&")
		if got := g.askAdmin("GET", target); got.status == 404 || got.status == 400 {
			t.Errorf("the link to %s: %d %s", target, got.status, got.body)
		}
	}
	if a := g.askAdmin("GET", "/nowhere"); a.status != 404 {
		t.Errorf("what is not there: %d", a.status)
	}
	for header, status := range map[string]int{"Host: evil.example": 403, "Sec-Fetch-Site: cross-site": 403} {
		if a := g.askAdmin("GET", "/", header); a.status != status {
			t.Errorf("%s: %d, want %d", header, a.status, status)
		}
	}

	doc, err := os.ReadFile("../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`^(POST )?/[^?]*`)
	documented := regexp.MustCompile("(?m)^\\| `((?:POST )?/[^`?]*)[`?]").FindAllStringSubmatch(string(doc), -1)
	for _, d := range documented {
		if !strings.Contains(a.body, ">"+d[1]) && !strings.Contains(a.body, "\n"+d[1]) && d[1] != "/" {
			t.Errorf("%s is in docs/operating.md and not listed", d[1])
		}
	}
	for _, p := range adminPaths {
		if !strings.Contains(string(doc), "| `"+name.FindString(p.path)) {
			t.Errorf("%s is listed and not in docs/operating.md", p.path)
		}
	}
}
