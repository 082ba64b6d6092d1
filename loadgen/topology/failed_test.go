package topology

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// An application that is not whole any more says so, and why.
func TestFailed(t *testing.T) {
	for name, end := range map[string]func(a *App, ended chan error){
		"the sidecar of front has ended: it last said: killed": func(_ *App, ended chan error) { ended <- errors.New("it last said: killed") },
		"front serves no more":                                 func(a *App, _ chan error) { _ = a.servers["front"].listener.Close() },
	} {
		g, err := Parse("graph.yaml", []byte("services: {front: {sidecar: true, endpoints: [{path: /}]}}"), nil)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		a, err := Start(t.Context(), g, Options{StartSidecar: func(context.Context, SidecarSpec) (*RunningSidecar, error) {
			return &RunningSidecar{Inbound: "127.0.0.1:1", Outbound: "127.0.0.1:2", Stop: func() error { return nil }, Ended: ended}, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		end(a, ended)
		if err := <-a.Failed(); !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want %s", err, name)
		}
		_ = a.Shutdown(t.Context())
	}
}

// A call by URL comes round as one by name does.
func TestCycleByURL(t *testing.T) {
	for _, at := range []string{"calls", "publish"} {
		_, err := Parse("graph.yaml", []byte(`services:
  front: {listen: "127.0.0.1:9080", endpoints: [{path: /, calls: [{service: back, path: /x}]}]}
  back: {endpoints: [{path: /x, `+at+`: [{url: "http://127.0.0.1:9080"}]}]}
`), nil)
		if err == nil || !strings.Contains(err.Error(), "goes round for ever: front / -> back /x -> front /") {
			t.Errorf("%s: %v", at, err)
		}
	}
}
