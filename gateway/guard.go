package gateway

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"overtake/gateway/config"
)

// The bounds of the admin listener. There is none for an answer as a whole:
// profiles and event streams take long.
const (
	adminConnections = 512
	adminScrapes     = 8 // of /metrics at a time; more get 503
	adminHeaderBytes = 64 << 10
	adminHeaderTime  = 3 * time.Second // also for a new connection's first byte, as silent ones keep others out
	adminIdleTime    = time.Minute
	adminAnswerTime  = time.Minute // for those that are not streams
	adminBodyTime    = 5 * time.Second
	adminProfileTime = time.Minute // of a profile or a trace, which cost every request
	adminLeaveTime   = time.Second // for what is under way when the process ends
)

// guard stands before all that the admin listener serves. It lets nothing in that a
// web page of somebody else may have sent from the browser of an operator, and lets
// nothing be changed without the token. What is registered behind it need not think
// of either.
//
// By the first, a page can read nothing here: not by asking from elsewhere (Origin,
// Fetch Metadata), and not by having its own name resolve to this address (DNS
// rebinding, which only Host shows). By the second, whatever is not asked for with
// GET or HEAD takes the token, so that GET handlers must change nothing.
type guard struct {
	next        *http.ServeMux
	config      func() *config.Config // in effect now
	log         *slog.Logger
	hostname    string // of this machine, lower case; "" if it is not known
	crossOrigin *http.CrossOriginProtection

	refusals rate.Sometimes // how often they are logged
	refused  atomic.Uint64  // since they were logged last
}

func newGuard(next *http.ServeMux, config func() *config.Config, log *slog.Logger) *guard {
	hostname, err := os.Hostname()
	if err != nil {
		log.Warn("the name of this host is not known: the admin listener refuses to be asked by it", "error", err)
	}
	return &guard{
		next: next, config: config, log: log, hostname: strings.ToLower(hostname),
		crossOrigin: http.NewCrossOriginProtection(), refusals: rate.Sometimes{First: 1, Interval: time.Minute},
	}
}

// ServeHTTP implements http.Handler.
func (d *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	conn := http.NewResponseController(w)
	_ = conn.SetWriteDeadline(answerBy(r.URL.Path)) // it can't be set where a test records the answer
	if r.ContentLength != 0 {
		// The server reads what is left of a body before it answers.
		_ = conn.SetReadDeadline(time.Now().Add(adminBodyTime))
		h.Set("Connection", "close")
		http.Error(w, "nothing here takes a body; put what you ask for into the URL", http.StatusRequestEntityTooLarge)
		return
	}
	if err := profilesTooLong(r); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := cmp.Or(d.crossOrigin.Check(r), fromElsewhere(r), d.underOtherName(r)); err != nil {
		d.note(r, err)
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		// What is not registered is for the mux to refuse, by 404 or 405.
		if _, pattern := d.next.Handler(r); pattern != "" && !d.mayChange(w, r) {
			return
		}
	}
	d.next.ServeHTTP(w, r)
}

// answerBy is until when an answer has to be written; zero is no bound.
func answerBy(path string) time.Time {
	if path == "/console/events" || strings.HasPrefix(path, "/debug/pprof/") {
		return time.Time{}
	}
	return time.Now().Add(adminAnswerTime)
}

// profilesTooLong returns why a profile or a trace is refused that would take how long the
// asker likes: they slow down what the process is there for, as long as they last.
func profilesTooLong(r *http.Request) error {
	if !strings.HasPrefix(r.URL.Path, "/debug/pprof/") {
		return nil
	}
	for _, text := range r.URL.Query()["seconds"] {
		if n, err := strconv.ParseFloat(text, 64); err != nil || !(n > 0 && n <= adminProfileTime.Seconds()) {
			return fmt.Errorf("seconds=%s: want a number above 0 and up to %v", text, adminProfileTime.Seconds())
		}
	}
	return nil
}

// fromElsewhere returns why a request is that of another site's page. It is for all
// methods: what can be read here is as confidential as what can be changed. Clients
// that are no browsers send none of these fields, and old ones at least Origin.
func fromElsewhere(r *http.Request) error {
	origins := r.Header["Origin"]
	if len(origins) > 1 {
		return errors.New("more than one Origin")
	}
	if len(origins) == 1 {
		o, err := url.Parse(origins[0])
		if err != nil || o.Scheme != "http" && o.Scheme != "https" || origins[0] != o.Scheme+"://"+o.Host || !strings.EqualFold(o.Host, r.Host) {
			return fmt.Errorf("a page of %q may not use this listener, asked for as %q; a proxy before it must pass Host on", origins[0], r.Host)
		}
	}
	// https://www.w3.org/TR/fetch-metadata/: none is the user's own doing, by a
	// bookmark or the address bar.
	for _, site := range r.Header["Sec-Fetch-Site"] {
		if site != "same-origin" && site != "none" && !opensConsole(r) {
			return fmt.Errorf("a page of another site may not use this listener (Sec-Fetch-Site: %s); open it by itself", site)
		}
	}
	return nil
}

// opensConsole reports whether somebody follows a link to the console, such as one in
// an alert. The page that has the link learns nothing.
func opensConsole(r *http.Request) bool {
	return r.Method == http.MethodGet && (r.URL.Path == "/console" || r.URL.Path == "/console/") &&
		r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}

// underOtherName returns why the Host of a request is not one of ours. Probes of load
// balancers ask for health by any name, and learn nothing else.
func (d *guard) underOtherName(r *http.Request) error {
	if r.URL.Path == "/healthz" || r.URL.Path == "/readyz" || d.isOurs(r.Host) {
		return nil
	}
	return fmt.Errorf("the name in Host, %q, is not known here; add it to admin_hosts in the configuration, or use an address or localhost", r.Host)
}

// isOurs reports whether a Host can't be a name that a stranger lets resolve to this
// address: strangers have names of the public DNS only.
func (d *guard) isOurs(host string) bool {
	name, isAddress := hostIn(host)
	switch {
	case isAddress:
		return true
	case name == "":
		return false
	case !strings.Contains(name, "."), name == d.hostname:
		return true // localhost, a service of compose, a host of the local network
	}
	// .localhost and .internal are never in the public DNS, the others are of clusters.
	return slices.ContainsFunc([]string{"*.localhost", "*.internal", "*.svc", "*.cluster.local"}, matches(name)) ||
		slices.ContainsFunc(d.config().AdminHosts, matches(name))
}

// hostIn returns the name in a Host field (RFC 9110 section 7.2), in lower case and
// without the final dot, or that it is an address; "" for what is neither.
func hostIn(field string) (name string, isAddress bool) {
	name, port := field, ""
	if i := strings.LastIndexByte(field, ':'); i > strings.LastIndexByte(field, ']') {
		name, port = field[:i], field[i+1:]
	}
	if strings.Trim(port, "0123456789") != "" {
		return "", false
	}
	if inner, ok := strings.CutPrefix(name, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		ip, err := netip.ParseAddr(inner)
		return "", ok && err == nil && ip.Is6()
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if ip, err := netip.ParseAddr(name); err == nil {
		return "", ip.Is4()
	}
	if !config.IsHostName(name) {
		return "", false
	}
	return name, false
}

// matches returns whether a lower-case host is a name, or one below it for *.name.
func matches(host string) func(name string) bool {
	return func(name string) bool {
		name = strings.ToLower(name)
		if suffix, ok := strings.CutPrefix(name, "*"); ok {
			return strings.HasSuffix(host, suffix) && len(host) > len(suffix)
		}
		return host == name
	}
}

// mayChange reports whether the request has the token, and answers it if not.
func (d *guard) mayChange(w http.ResponseWriter, r *http.Request) bool {
	token, ok := d.config().Token()
	if !ok {
		http.Error(w, "nothing can be changed here, as there is no token; set admin_token in the configuration (or OVERTAKE_ADMIN_TOKEN) "+
			"and send it as \"Authorization: Bearer TOKEN\"", http.StatusForbidden)
		return false
	}
	given := bearer(r)
	if given != "" && same(given, token) {
		return true
	}
	challenge, text := `Bearer realm="overtake"`, "this takes the token of admin_token; send it as \"Authorization: Bearer TOKEN\""
	if given != "" { // RFC 6750 section 3
		challenge, text = challenge+`, error="invalid_token"`, "this is not the token of admin_token"
	}
	d.note(r, errors.New(text))
	w.Header().Set("WWW-Authenticate", challenge)
	http.Error(w, text, http.StatusUnauthorized)
	return false
}

// bearer returns the token that a request carries; "" is none.
func bearer(r *http.Request) string {
	fields := r.Header["Authorization"]
	if len(fields) != 1 {
		return ""
	}
	scheme, token, _ := strings.Cut(fields[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimLeft(token, " ")
}

// same compares in a time that tells nothing of either, not even the length.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// note logs the first refusal of each minute, and how many there were since.
func (d *guard) note(r *http.Request, why error) {
	d.refused.Add(1)
	d.refusals.Do(func() {
		d.log.Warn("the admin listener refuses requests", "refused", d.refused.Swap(0), "remote", r.RemoteAddr,
			"method", r.Method, "path", r.URL.Path, "error", why)
	})
}
