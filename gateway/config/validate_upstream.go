package config

import (
	"cmp"
	"errors"
	"io/fs"
	"maps"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"overtake/classifier/strictyaml"
)

func (v validator) validateUpstream(name string, u Upstream) {
	path := strictyaml.Join("upstreams", name)
	v.name(path, name)
	if len(u.Servers) == 0 {
		v.Problem(path+".servers", `write servers: ["http://127.0.0.1:9000"]`, "no server")
	}
	if n := len(u.Servers); n > mostServers {
		v.Problem(strictyaml.Item(path+".servers", mostServers), "", "%d servers, want at most %d", n, mostServers)
	}
	seen := map[string]string{}
	for i, server := range u.Servers {
		at := strictyaml.Item(path+".servers", i)
		v.server(at, server)
		v.unique(seen, at, at, server)
	}
	if u.Timeout <= 0 {
		v.Problem(path+".timeout", "write 30s", "must be more than 0")
	}
	v.validateLimit(path+".limit", u.Limit)
	if t := u.TryTimeout; t != 0 && t < time.Millisecond {
		v.Problem(path+".try_timeout", "want 1ms or more, or 0s for as long as timeout", "%s is too short", t)
	} else if t > 0 && u.Timeout > 0 && t >= u.Timeout {
		v.Warn(path+".try_timeout", "has no effect: timeout is no longer, %s", u.Timeout)
	}
	if u.TLS != nil {
		v.validateUpstreamTLS(path+".tls", u)
	}
	if u.Health != nil {
		v.validateHealth(path+".health", u.Health)
	}
	v.validateEject(path+".eject", u.Eject)
	if u.Retry != nil {
		v.within(path+".retry.attempts", u.Retry.Attempts, 1, 10)
	}
}

// mostServers is as many as one scheduler takes.
const mostServers = 1024

func (v validator) validateLimit(path string, l Limit) {
	v.oneOf(path+".mode", l.Mode, "a mode", "adaptive", "fixed", "off")
	if l.Mode == "fixed" || l.Mode == "adaptive" {
		v.within(path+".max", l.Max, 1, 100_000)
	}
	unused := map[string][]string{"fixed": {"initial", "min"}, "off": {"initial", "min", "max"}}
	for _, key := range unused[l.Mode] {
		if v.Given(path + "." + key) {
			v.Warn(path+"."+key, "has no effect with mode %s", l.Mode)
		}
	}
	if l.Mode != "adaptive" {
		return
	}
	v.within(path+".min", l.Min, 1, 100_000)
	if l.Min > l.Max {
		v.Problem(path+".min", "", "%d is more than max, %d", l.Min, l.Max)
	} else if l.Initial < l.Min || l.Initial > l.Max {
		v.Problem(path+".initial", "", "%d is not between min, %d, and max, %d", l.Initial, l.Min, l.Max)
	}
}

// server checks the address of an app.
func (v validator) server(path, server string) {
	if socket, ok := strings.CutPrefix(server, "unix://"); ok {
		if !filepath.IsAbs(socket) {
			v.Wrong(path, server, "has no absolute path", "write unix:///run/app.sock")
		}
		return
	}
	hint := "write http://HOST:PORT, https://HOST:PORT or unix:///PATH"
	u, err := url.Parse(server)
	switch {
	case !strings.Contains(server, "://"):
		if _, _, ok := splitAddress(server); ok && v.Shown(path, server) == server {
			hint = "write http://" + server
		}
		v.Wrong(path, server, "is not a URL", hint)
	case err != nil:
		v.Wrong(path, server, "is not a URL", hint)
	case u.Scheme != "http" && u.Scheme != "https":
		v.Wrong(path, server, "is not an http://, https:// or unix:// URL", hint)
	case u.User != nil:
		v.Problem(path, "let the app's callers send them", "a server's URL can't carry credentials")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		v.Wrong(path, server, "has more than a host and a port", hint)
	case u.Hostname() == "" || !validPort(u.Port()) || u.Port() == "0":
		v.Wrong(path, server, "has no host and port", hint)
	default:
		v.notOurselves(path, server, u)
	}
}

// usualPorts are those of URLs without one.
var usualPorts = map[string]string{"http": "80", "https": "443"}

// notOurselves checks that a server is none of this process's own listeners.
func (v validator) notOurselves(path, server string, u *url.URL) {
	own := map[string]string{"admin": v.Admin}
	for i, l := range v.Listeners {
		own[strictyaml.Item("listeners", i)] = l.Address
	}
	for _, part := range slices.Sorted(maps.Keys(own)) {
		host, port, ok := splitAddress(own[part])
		if ok && port == cmp.Or(u.Port(), usualPorts[u.Scheme]) && reaches(u.Hostname(), strings.Trim(host, "[]")) {
			v.Wrong(path, server, "is the gateway itself: the address of "+part, "write that of the app")
			return
		}
	}
}

// reaches says whether a connection to host surely gets to who listens on
// listening of this machine. Names other than localhost are not looked up.
func reaches(host, listening string) bool {
	ip, _ := netip.ParseAddr(host)
	on, _ := netip.ParseAddr(listening)
	loopback := host == "localhost" || ip.IsLoopback()
	everywhere := listening == "" || on.IsUnspecified()
	return strings.EqualFold(host, listening) || loopback && everywhere || host == "localhost" && on.IsLoopback() ||
		listening == "localhost" && ip.IsLoopback()
}

// address checks where a listener listens, and says whether it is right.
func (v validator) address(path, address string) bool {
	hint := "write HOST:PORT or :PORT"
	if address == "" {
		v.Problem(path, `write address: ":8080"`, "no address")
		return false
	}
	if host, _, ok := splitAddress(address); ok && validHost(host) {
		return true
	}
	if validPort(address) {
		hint = "write " + strconv.Quote(":"+address)
	}
	v.Wrong(path, address, "is not an address", hint)
	return false
}

// splitAddress takes HOST:PORT apart; an IPv6 host is in brackets.
func splitAddress(address string) (host, port string, ok bool) {
	i := strings.LastIndexByte(address, ':')
	if i < 0 || !validPort(address[i+1:]) {
		return "", "", false
	}
	return address[:i], address[i+1:], true
}

// validHost accepts what one can listen on: nothing, an IP address or a name.
func validHost(host string) bool {
	if inner, v6 := strings.CutPrefix(host, "["); v6 {
		addr, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		return err == nil && addr.Is6() && strings.HasSuffix(host, "]")
	}
	return only(strings.ToLower(host), "abcdefghijklmnopqrstuvwxyz0123456789-._")
}

func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n <= 65535 && only(port, "0123456789")
}

func (v validator) absolutePath(path, value string) {
	if !strings.HasPrefix(value, "/") {
		v.Wrong(path, value, "does not begin with a slash", "write /"+v.Shown(path, value))
	}
}

func (v validator) validateBrokers() {
	dirs := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(v.Brokers)) {
		path, b := strictyaml.Join("brokers", name), v.Brokers[name]
		v.name(path, name)
		if b.Type == "" {
			v.Problem(path+".type", "write type: nats", "no type")
			continue
		}
		if types := []string{"nats", "rabbitmq"}; !slices.Contains(types, b.Type) {
			v.Wrong(path+".type", b.Type, "is not a broker", strictyaml.Suggest(b.Type, types))
			continue // what else there is goes by the type
		}
		switch {
		case b.Embedded && b.Type == "rabbitmq":
			v.Problem(path+".embedded", "only nats can be embedded", "a rabbitmq broker can't be embedded")
		case b.Embedded && b.URL != "":
			v.Problem(path+".url", "remove it, or embedded", "an embedded broker has no URL")
		case v.AnyBroken(path+".url") || v.AnyBroken(path+".urls") || v.Broken(path+".embedded"):
			// It says where it is.
		case !b.Embedded && b.URL == "" && len(b.URLs) == 0:
			hint := "write embedded: true, or url: nats://HOST:4222"
			if b.Type == "rabbitmq" {
				hint = "write url: amqp://HOST:5672"
			}
			v.Problem(path, hint, "says neither embedded nor url")
		case b.URL != "":
			v.brokerURL(path+".url", b.Type, b.URL)
		}
		v.validateNATS(path, b)
		if b.Type == "rabbitmq" {
			v.validateRabbitMQ(path, b)
		}
		if b.Embedded && b.Type == "nats" {
			if b.Dir == "" || strings.HasPrefix(b.Dir, "~") {
				v.Wrong(path+".dir", b.Dir, "is not a folder", "write a path, such as ./overtake-data; ~ is not expanded")
			}
			v.unique(dirs, path+".dir", path, filepath.Clean(b.Dir))
		}
		if b.Type == "nats" {
			v.diskOf(path+".max_bytes", name, b)
		}
	}
}

const (
	// leastLane is the fewest bytes that a lane can be bound to.
	leastLane strictyaml.Size = 64 << 10
	// mostBody leaves room for the header in the largest message that a NATS
	// server takes, 8 MiB.
	mostBody strictyaml.Size = 7 << 20
)

// diskOf checks that a broker's disk suffices for its queues: each has a lane
// per class and one for dead letters.
func (v validator) diskOf(path, name string, b Broker) {
	var least strictyaml.Size
	for _, q := range v.Queues {
		if q.Broker == name {
			least += strictyaml.Size(len(v.Classes)+1) * leastLane
		}
	}
	if v.KeepsResults(name) {
		least = max(least*4/3, 8*leastLane) // main gives results a quarter, in two halves
	}
	if least = max(least, 1<<20); b.MaxBytes < least {
		v.Problem(path, "want "+least.String()+" or more", "%s is too small for the broker's queues", b.MaxBytes)
	}
}

func (v validator) brokerURL(path, kind, text string) {
	schemes := map[string][]string{"nats": {"nats", "tls"}, "rabbitmq": {"amqp", "amqps"}}[kind]
	u, err := url.Parse(text)
	_, rest, _ := strings.Cut(text, "://")
	user := rest[:max(0, strings.LastIndexByte(rest, '@'))]
	// The URL may carry a password, so it is not shown.
	switch {
	case strings.ContainsAny(user, "/?#"):
		v.Problem(path, "write %40 for @, %2F for /, %3F for ? and %23 for # in user and password", "not the URL of a %s broker: its password ends it early", kind)
	case err != nil || u.Host == "" || !slices.Contains(schemes, u.Scheme):
		v.Problem(path, "write "+schemes[0]+"://HOST:PORT", "not the URL of a %s broker", kind)
	case u.Port() != "" && !validPort(u.Port()):
		v.Problem(path, "want 1 to 65535", "its port is none")
	}
}

func (v validator) validateQueues() {
	brokers := slices.Sorted(maps.Keys(v.Brokers))
	for _, name := range slices.Sorted(maps.Keys(v.Queues)) {
		path, q := strictyaml.Join("queues", name), v.Queues[name]
		v.name(path, name)
		v.reference(path+".broker", "broker", q.Broker, brokers, "brokers")
		if d := q.Deliver; d != nil {
			v.reference(path+".deliver.upstream", "upstream", d.Upstream, slices.Sorted(maps.Keys(v.Upstreams)), "upstreams")
			if d.Path != "" {
				v.absolutePath(path+".deliver.path", d.Path)
				if strings.ContainsAny(d.Path, "?#") {
					v.Wrong(path+".deliver.path", d.Path, "has a query", "write the path alone; the job keeps its own query")
				}
			}
		} else if b := v.Brokers[q.Broker]; b.Embedded && b.Listen == "" {
			v.Warn(path, "has no deliver, and nothing else reaches an embedded broker: its jobs are never done")
		}
		v.within(path+".attempts", q.Attempts, 1, 100)
		v.validateResults(path, q)
		v.oneOf(path+".strategy", q.Strategy, "a strategy", "lanes", "native")
		v.validateRabbitMQQueue(path, q)
		if q.MaxBody < 1 || q.MaxBody > mostBody {
			v.Problem(path+".max_body", "want 1B to "+mostBody.String(), "%s is out of range", q.MaxBody)
		}
	}
}

// cause is the bare reason of a failed file operation.
func cause(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}
