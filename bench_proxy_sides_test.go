//go:build e2e

package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// The processor that proxies run on, and the one for all else.
const (
	proxyCPU = "0"
	otherCPU = "1"
)

// proxySide is one proxy of the comparison, and what was measured of it.
type proxySide struct {
	Name  string       `json:"name"`
	Cells []*proxyCell `json:"cells,omitempty"`
	Idle  []float64    `json:"idle_mib,omitempty"` // before and with the idle connections
	start func(t *testing.T, upstream string) proxyProgram
	run   proxyProgram
}

// proxyProgram is a proxy that runs.
type proxyProgram struct {
	*program
	url string
}

func proxySides() []*proxySide {
	return []*proxySide{
		{Name: "Overtake", start: startOvertake},
		{Name: "nginx", start: startNginx},
		{Name: "HAProxy", start: startHAProxy},
		{Name: "Caddy", start: startCaddy},
	}
}

// All four keep connections to the upstream, write no log, tell the upstream of the
// client in the same three fields, and close no connection of the benchmark's.

// Twenty rules, of which a request of the benchmark passes nineteen. The limit is above
// the number of connections: nothing waits, but every request gets its slot in order.
const overtakeProxyConfig = `
listeners: [{name: public, address: "127.0.0.1:0"}]
admin: "127.0.0.1:0"
rules:
  - {name: health, class: interactive, match: {path: /healthz}}
  - {name: reports, class: batch, match: {methods: [GET], path: "/reports/**"}}
  - {name: exports, class: batch, match: {path: "/*/export/**"}}
  - {name: nightly, class: batch, match: {hosts: ["*.nightly.example"]}}
  - {name: uploads, class: batch, match: {methods: [POST, PUT], size: {min: 1MiB}}}
  - {name: crawlers, class: batch, match: {headers: {User-Agent: "*bot*"}}}
  - {name: prefetch, class: batch, match: {headers: {Sec-Purpose: "prefetch*"}}}
  - {name: gold, class: interactive, match: {headers: {X-Plan: gold}}}
  - {name: checkout, class: interactive, match: {path: "/checkout/**"}}
  - {name: cart, class: interactive, match: {path: "/{cart,basket}/**"}}
  - {name: search, class: interactive, match: {path: /search, query: {q: "*"}}}
  - {name: office, class: interactive, match: {sources: [192.168.0.0/16]}}
  - {name: partners, class: standard, match: {hosts: [partner.example, "*.partner.example"]}}
  - {name: imports, class: batch, match: {content_type: text/csv}}
  - {name: hooks, class: batch, match: {methods: [POST], path: "/hooks/**"}}
  - {name: feeds, class: batch, match: {path: "/**/feed.xml"}}
  - {name: thumbnails, class: standard, match: {path: "/images/*/thumb"}}
  - {name: admin, class: interactive, match: {hosts: [admin.example], path: "/**"}}
  - {name: mobile, class: interactive, match: {headers: {X-Client: "mobile/*"}}}
  - {name: bodies, class: interactive, match: {methods: [GET], path: "/bodies/*"}}
upstreams: {app: {servers: [%q], limit: {mode: fixed, max: 2048}}}
`

func startOvertake(t *testing.T, upstream string) proxyProgram {
	t.Helper()
	file := filepath.Join(t.TempDir(), "overtake.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, overtakeProxyConfig, "http://"+upstream), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startTool(t, nil, "taskset", "-c", proxyCPU, binary, "gateway", "-c", file)
	return proxyProgram{p, "http://" + p.find(t, `msg=listening listener=public address=(\S+)`)}
}

// Without proxy_max_temp_file_size nginx would write large bodies to the disk.
const nginxConfig = `
daemon off;
master_process off; # one process that is worker and all; killed, it leaves none behind
user root;
worker_rlimit_nofile 20000;
pid nginx.pid;
error_log stderr crit;
events { worker_connections 16000; }
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  keepalive_timeout 300s;
  keepalive_requests 1000000000;
  upstream app {
    server %s;
    keepalive 1024;
    keepalive_requests 1000000000;
    keepalive_timeout 300s;
  }
  server {
    listen 127.0.0.1:%d backlog=4096;
    location / {
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_max_temp_file_size 0;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Forwarded-Proto $scheme;
    }
  }
}
`

func startNginx(t *testing.T, upstream string) proxyProgram {
	t.Helper()
	port, dir := freePort(t), t.TempDir()
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, nginxConfig, upstream, port), 0o600); err != nil {
		t.Fatal(err)
	}
	return answering(t, startTool(t, nil, "taskset", "-c", proxyCPU, "nginx", "-p", dir, "-c", file), port)
}

const haproxyProxyConfig = `
global
  nbthread 1
  maxconn 9000
  log stderr local0 emerg
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  timeout http-keep-alive 300s
frontend public
  bind 127.0.0.1:%d backlog 4096
  maxconn 9000
  option forwardfor
  http-request set-header X-Forwarded-Host %%[req.hdr(Host)]
  http-request set-header X-Forwarded-Proto http
  default_backend app
backend app
  http-reuse always
  server app %s
`

func startHAProxy(t *testing.T, upstream string) proxyProgram {
	t.Helper()
	port := freePort(t)
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(file, fmt.Appendf(nil, haproxyProxyConfig, port, upstream), 0o600); err != nil {
		t.Fatal(err)
	}
	return answering(t, startTool(t, nil, "taskset", "-c", proxyCPU, "haproxy", "-db", "-f", file), port)
}

const caddyConfig = `
{
  admin off
  auto_https off
  persist_config off
}
http://:%d {
  bind 127.0.0.1
  reverse_proxy %s {
    transport http {
      keepalive 300s
      keepalive_idle_conns 4096
      keepalive_idle_conns_per_host 4096
    }
  }
}
`

func startCaddy(t *testing.T, upstream string) proxyProgram {
	t.Helper()
	port, dir := freePort(t), t.TempDir()
	file := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(file, fmt.Appendf(nil, caddyConfig, port, upstream), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startTool(t, []string{"HOME=" + dir}, "taskset", "-c", proxyCPU, "bin/caddy", "run", "--config", file, "--adapter", "caddyfile")
	return answering(t, p, port)
}

// answering waits until the program answers on its port.
func answering(t *testing.T, p *program, port int) proxyProgram {
	t.Helper()
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	eventually(t, url+" answers", func() bool {
		resp, err := http.Get(fmt.Sprintf("%s/bodies/%d", url, proxyBodies[0]))
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return proxyProgram{p, url}
}
