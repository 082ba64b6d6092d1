package gateway

import (
	"net/http"
	"testing"
)

func TestProvenanceIsCounted(t *testing.T) {
	next := serveNext(t)
	var s sidecar
	s = startSidecar(t, "", serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		for _, forward := range []string{"traceparent", "x-request-id", ""} {
			req, _ := http.NewRequest("GET", next, nil)
			copyFields(forward)(r.Header, req.Header)
			resp, err := s.caller().Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
		}
	}))
	s.get("/")
	for _, want := range []string{
		"overtake_provenance_entries 1", "overtake_provenance_evicted_total 0",
		`overtake_provenance_calls_total{found_by="span"} 1`, `overtake_provenance_calls_total{found_by="trace"} 0`,
		`overtake_provenance_calls_total{found_by="request_id"} 1`, `overtake_provenance_calls_total{found_by="none"} 1`,
	} {
		s.wantMetric(want)
	}
}
