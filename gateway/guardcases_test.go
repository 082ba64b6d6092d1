package gateway

import "slices"

// adminCase is a request to the admin listener, and what comes of it. $ADDRESS, $PORT and
// $MACHINE in it are the listener's and the name of this host.
type adminCase struct {
	method, target string
	header         []string
	status         int
	says           string
}

const withToken = "Authorization: Bearer " + testToken

// navigating are header fields of somebody who follows a link.
func navigating(more ...string) []string {
	return append(slices.Clone(more), "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
}

// adminCases are who is let in to the admin listener for what, and who is not.
var adminCases = []adminCase{
	// Tools, which say nothing of where they come from.
	{"GET", "/metrics", nil, 200, ""},
	{"HEAD", "/metrics", nil, 200, ""},
	{"GET", "/metrics", []string{"Host: 10.1.2.3:9901"}, 200, ""},                   // Prometheus, kubelet: by address
	{"GET", "/metrics", []string{"Host: [fd00::1]:9901"}, 200, ""},                  //
	{"GET", "/metrics", []string{"Host: [fe80::1%25eth0]"}, 200, ""},                //
	{"GET", "/metrics", []string{"Host: localhost:5555"}, 200, ""},                  // through kubectl port-forward or ssh -L
	{"GET", "/metrics", []string{"Host: LOCALHOST"}, 200, ""},                       //
	{"GET", "/metrics", []string{"Host: overtake.localhost"}, 200, ""},              //
	{"GET", "/metrics", []string{"Host: gateway:9901"}, 200, ""},                    // compose
	{"GET", "/metrics", []string{"Host: overtake.prod.svc:9901"}, 200, ""},          // in a cluster
	{"GET", "/metrics", []string{"Host: overtake.prod.svc.cluster.local"}, 200, ""}, //
	{"GET", "/metrics", []string{"Host: gw1.c.project.internal."}, 200, ""},         // in a cloud
	{"GET", "/metrics", []string{"Host: $MACHINE"}, 200, ""},                        //
	{"GET", "/metrics", []string{"Host: Overtake.Example.COM:443"}, 200, ""},        // configured
	{"GET", "/metrics", []string{"Host: a.ops.example.com"}, 200, ""},               //

	// DNS rebinding: the name is the attacker's.
	{"GET", "/metrics", []string{"Host: evil.example"}, 403, "admin_hosts"},
	{"GET", "/debug/config", []string{"Host: evil.example:$PORT"}, 403, "admin_hosts"},
	{"GET", "/debug/config", []string{"Host: 127.0.0.1.evil.example"}, 403, "admin_hosts"},
	{"GET", "/debug/config", []string{"Host: localhost.evil.example"}, 403, "admin_hosts"},
	{"GET", "/debug/config", []string{"Host: evil.example.svc.evil"}, 403, "admin_hosts"},
	{"GET", "/debug/config", []string{"Host: ops.example.com"}, 403, "admin_hosts"},
	{"GET", "/debug/config", []string{"Host: notops.example.com"}, 403, "admin_hosts"},
	{"GET", "/debug/config", []string{"Host: overtake.example.com.evil.example"}, 403, "admin_hosts"},
	{"GET", "/debug/config", []string{"Host: .svc"}, 403, "admin_hosts"},
	{"GET", "/debug/config", []string{"Host: 127.1"}, 403, "admin_hosts"},
	{"GET", "/console", navigating("Host: evil.example", "Sec-Fetch-Site: none"), 403, "admin_hosts"},
	{"GET", "/console/", navigating("Host: evil.example", "Sec-Fetch-Site: none"), 403, "admin_hosts"},
	{"POST", "/admin/reload", []string{"Host: evil.example", withToken, "Sec-Fetch-Site: same-origin"}, 403, "admin_hosts"},
	{"GET", "/healthz", []string{"Host: evil.example"}, 200, "alive"},
	{"GET", "/readyz", []string{"Host: lb.example"}, 200, "ready"},
	{"GET", "/healthz/", []string{"Host: evil.example"}, 403, "admin_hosts"},

	// The browser says that another site asks.
	{"GET", "/metrics", []string{"Sec-Fetch-Site: cross-site"}, 403, "another site"},
	{"GET", "/metrics", []string{"Sec-Fetch-Site: same-site"}, 403, "another site"},
	{"GET", "/metrics", []string{"Sec-Fetch-Site: anything"}, 403, "another site"},
	{"GET", "/metrics", []string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"}, 403, "another site"},
	{"GET", "/metrics", navigating("Sec-Fetch-Site: cross-site"), 403, "another site"},
	{"GET", "/healthz", []string{"Sec-Fetch-Site: cross-site"}, 403, "another site"},
	{"GET", "/metrics", []string{"Sec-Fetch-Site: same-origin"}, 200, ""},
	{"GET", "/metrics", []string{"Sec-Fetch-Site: none"}, 200, ""},
	{"GET", "/debug/config", []string{"Origin: https://evil.example"}, 403, "evil.example"},
	{"GET", "/debug/config", []string{"Origin: null"}, 403, "null"},
	{"GET", "/debug/config", []string{"Origin: "}, 403, ""},
	{"GET", "/debug/config", []string{"Origin: http://127.0.0.1:1"}, 403, "127.0.0.1:1"},
	{"GET", "/debug/config", []string{"Origin: http://localhost:$PORT"}, 403, "localhost"},
	{"GET", "/debug/config", []string{"Origin: file://$ADDRESS"}, 403, ""},
	{"GET", "/debug/config", []string{"Origin: http://$ADDRESS", "Origin: http://evil.example"}, 403, "more than one"},
	{"GET", "/debug/config", []string{"Origin: http://$ADDRESS"}, 200, ""},
	{"GET", "/debug/config", []string{"Host: overtake.example.com", "Origin: https://overtake.example.com"}, 200, ""}, // behind TLS
	{"OPTIONS", "/admin/reload", []string{"Origin: https://evil.example", "Access-Control-Request-Method: POST"}, 403, "evil.example"},

	// A link to the console may be anywhere; what embeds it may not, and nothing
	// else is led to.
	{"GET", "/console", navigating("Sec-Fetch-Site: cross-site"), 200, "<html"},
	{"GET", "/console", navigating("Sec-Fetch-Site: same-site"), 200, "<html"},
	{"GET", "/console/", navigating("Sec-Fetch-Site: cross-site"), 200, "<html"},
	{"GET", "/console/state", navigating("Sec-Fetch-Site: cross-site"), 403, "another site"},
	{"GET", "/console", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"}, 403, "another site"},
	{"GET", "/console", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"}, 403, "another site"},
	{"GET", "/console/", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"}, 403, "another site"},
	{"POST", "/console", navigating("Sec-Fetch-Site: cross-site"), 403, ""},
	{"POST", "/console/", []string{withToken}, 405, ""},
	{"HEAD", "/console/", nil, 200, ""},
	{"GET", "/console/state/", nil, 404, ""},
	{"GET", "/debug/queues", navigating("Sec-Fetch-Site: same-site"), 403, "another site"},

	// With the token, and still from elsewhere.
	{"POST", "/admin/reload", []string{withToken, "Sec-Fetch-Site: cross-site"}, 403, "cross-origin"},
	{"POST", "/admin/reload", []string{withToken, "Sec-Fetch-Site: same-site"}, 403, "cross-origin"},
	{"POST", "/admin/reload", []string{withToken, "Origin: https://evil.example"}, 403, "cross-origin"},
	{"POST", "/admin/reload", []string{withToken, "Origin: null"}, 403, ""},

	// Who has no token is told how to get along.
	{"POST", "/admin/log-level?level=debug", nil, 401, "admin_token"},
	{"POST", "/admin/log-level?level=debug", []string{"Authorization: Bearer wrong"}, 401, "not the token"},
	{"POST", "/admin/log-level?level=debug", []string{"Authorization: Bearer " + testToken + "x"}, 401, "not the token"},
	{"POST", "/admin/log-level?level=debug", []string{"Authorization: Bearer " + testToken[1:]}, 401, "not the token"},
	{"POST", "/admin/log-level?level=debug", []string{"Authorization: Basic " + testToken}, 401, "send it as"},
	{"POST", "/admin/log-level?level=debug", []string{"Authorization: " + testToken}, 401, "send it as"},
	{"POST", "/admin/log-level?level=debug", []string{withToken, withToken}, 401, "send it as"},
	{"POST", "/admin/log-level?level=debug&access_token=" + testToken, nil, 401, "send it as"},
	{"POST", "/admin/log-level?level=debug", []string{withToken}, 200, "debug"},
	{"POST", "/admin/log-level?level=debug", []string{"Authorization: bearer  " + testToken}, 200, "debug"},

	// Nothing is changed by reading.
	{"GET", "/admin/reload", []string{withToken}, 405, ""},
	{"HEAD", "/admin/reload", []string{withToken}, 405, ""},
	{"PUT", "/admin/reload", []string{withToken}, 405, ""},
	{"GET", "/admin/reload", []string{withToken, "X-Http-Method-Override: POST"}, 405, ""},
	{"POST", "/metrics", []string{withToken}, 405, ""},
	{"POST", "/nothing", nil, 404, ""},

	// A profile costs every request, as long as it lasts.
	{"GET", "/debug/pprof/profile?seconds=61", nil, 400, "up to 60"},
	{"GET", "/debug/pprof/profile?seconds=600", nil, 400, "up to 60"},
	{"GET", "/debug/pprof/trace?seconds=1e9", nil, 400, "up to 60"},
	{"GET", "/debug/pprof/trace?seconds=Inf", nil, 400, "up to 60"},
	{"GET", "/debug/pprof/trace?seconds=NaN", nil, 400, "up to 60"},
	{"GET", "/debug/pprof/heap?seconds=3600", nil, 400, "up to 60"},
	{"GET", "/debug/pprof/profile?seconds=0", nil, 400, "above 0"},
	{"GET", "/debug/pprof/profile?seconds=-1", nil, 400, "above 0"},
	{"GET", "/debug/pprof/profile?seconds=1&seconds=x", nil, 400, "seconds=x"},
	{"GET", "/debug/pprof/trace?seconds=0.01", nil, 200, ""},
}
