package console

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"
)

//go:embed page
var pageFiles embed.FS

// page is the page, whole, and the policy that it is served with.
type page struct {
	html   []byte
	policy string
}

// wholePage is page/index.html with the styles and scripts beside it put in, so that
// nothing else has to be fetched. They stand for {{style}} and {{script}}, by their
// names in order.
var wholePage = sync.OnceValue(func() page {
	index, err := pageFiles.ReadFile("page/index.html")
	if err != nil {
		panic("console: " + err.Error()) // it is part of the program
	}
	style, script := partsOf(".css"), partsOf(".js")
	html := strings.Replace(string(index), "{{style}}", style, 1)
	html = strings.Replace(html, "{{script}}", script, 1)
	return page{
		html: []byte(html),
		policy: "default-src 'none'; script-src " + hashOf(script) + "; style-src " + hashOf(style) +
			"; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	}
})

// partsOf returns the files of the page that end so, one behind the other.
func partsOf(ext string) string {
	var all strings.Builder
	entries, err := fs.ReadDir(pageFiles, "page") // sorted
	if err != nil {
		panic("console: " + err.Error())
	}
	for _, e := range entries {
		if path.Ext(e.Name()) != ext {
			continue
		}
		text, err := pageFiles.ReadFile("page/" + e.Name())
		if err != nil {
			panic("console: " + err.Error())
		}
		all.Write(text)
	}
	return all.String()
}

// hashOf is the source by which a policy allows an inline text: CSP Level 3, section
// 2.3.1.
func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// withoutSlash leads from /console/ to the page. With a slash at its end, what the page
// asks for relative to itself would be somewhere else. So is the way there, as a proxy
// may have it all below a prefix that is not known here.
func withoutSlash(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Location", "../console") // http.Redirect would make it absolute
	w.WriteHeader(http.StatusPermanentRedirect)
}

func servePage(w http.ResponseWriter, _ *http.Request) {
	p := wholePage()
	guarded(w, "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", p.policy)
	_, _ = w.Write(p.html) // the client's connection at most
}
