package scenario

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"overtake/classifier/strictyaml"
	"overtake/loadgen"
)

// The kinds of endpoints, as [loadgen.Endpoint] calls them.
const (
	kindHTTP = "http"
	kindAMQP = "amqp"
	kindNATS = "nats"
)

// schemes are those of the URLs of a kind, the one to suggest first.
var schemes = map[string][]string{
	kindHTTP: {"http", "https"},
	kindAMQP: {"amqp", "amqps"},
	kindNATS: {"nats", "tls"},
}

// endpoints checks the endpoints and returns them.
func (d *draft) endpoints() map[string]loadgen.Endpoint {
	if len(d.file.Endpoints) == 0 {
		return nil
	}
	used := make(map[string]bool)
	for _, c := range d.file.Classes {
		used[c.Endpoint] = true
	}
	all := make(map[string]loadgen.Endpoint, len(d.file.Endpoints))
	for name, e := range d.file.Endpoints {
		at := strictyaml.Join("endpoints", name)
		d.checkName(at, name)
		all[name] = d.endpoint(at, e)
		if !used[name] {
			d.Problem(at, "write endpoint: "+name+" in a class, or remove it", "no class sends to it")
		}
	}
	return all
}

func (d *draft) endpoint(at string, e endpoint) loadgen.Endpoint {
	urls := map[string]string{kindHTTP: e.HTTP, kindAMQP: e.AMQP, kindNATS: e.NATS}
	var kinds []string
	for _, kind := range []string{kindHTTP, kindAMQP, kindNATS} {
		if d.Given(strictyaml.Join(at, kind)) {
			kinds = append(kinds, kind)
		}
	}
	if len(kinds) != 1 {
		hint := "give one URL: http, amqp or nats"
		if len(kinds) == 0 {
			d.Problem(at, hint, "has no URL")
		} else {
			d.Problem(at, hint, "has the URLs of %s", strings.Join(kinds, " and "))
		}
		return loadgen.Endpoint{}
	}
	kind := kinds[0]
	d.checkForeign(at, kind)
	if kind == kindHTTP {
		d.checkTarget(strictyaml.Join(at, kind), e.HTTP)
		return loadgen.Endpoint{Kind: kind, URL: e.HTTP}
	}
	d.checkBroker(strictyaml.Join(at, kind), kind, urls[kind])
	strictyaml.SetDefault(d.Source, strictyaml.Join(at, "consumers"), &e.Consumers, 1)
	if e.Consumers < 1 || e.Consumers > maxConsumers {
		d.Problem(strictyaml.Join(at, "consumers"), "want 1 to 10000", "is %d", e.Consumers)
	}
	if e.Hold > time.Hour {
		d.Problem(strictyaml.Join(at, "hold"), "want at most 1h", "is %v", e.Hold)
	}
	switch {
	case kind == kindAMQP && e.Queue == "":
		d.Problem(strictyaml.Join(at, "queue"), "name the queue that messages are consumed from", "is missing")
	case kind == kindNATS && e.Subject == "":
		d.Problem(strictyaml.Join(at, "subject"), "name the subject that messages are published to", "is missing")
	}
	if kind == kindAMQP && e.Exchange == "" {
		// The default exchange takes the name of a queue as the key.
		strictyaml.SetDefault(d.Source, strictyaml.Join(at, "key"), &e.Key, e.Queue)
	}
	return loadgen.Endpoint{
		Kind: kind, URL: urls[kind], Exchange: e.Exchange, Key: e.Key, Queue: e.Queue, Subject: e.Subject, Stream: e.Stream,
		Consumers: e.Consumers, Hold: e.Hold, Drain: e.Drain,
	}
}

// checkForeign reports keys that are for another kind of endpoint.
func (d *draft) checkForeign(at, kind string) {
	keys := map[string][]string{
		kindHTTP: nil,
		kindAMQP: {"exchange", "key", "queue", "consumers", "hold", "drain"},
		kindNATS: {"subject", "stream", "consumers", "hold", "drain"},
	}
	for _, key := range []string{"exchange", "key", "queue", "subject", "stream", "consumers", "hold", "drain"} {
		if path := strictyaml.Join(at, key); d.Given(path) && !slices.Contains(keys[kind], key) {
			d.Problem(path, "remove it", "means nothing with %s", kind)
		}
	}
}

func (d *draft) checkBroker(path, kind, text string) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || !slices.Contains(schemes[kind], u.Scheme) {
		d.Wrong(path, text, "is not the URL of a broker", "write "+schemes[kind][0]+"://HOST:PORT")
	}
}
