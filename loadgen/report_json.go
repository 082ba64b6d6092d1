package loadgen

import (
	"encoding/json"
	"math"
)

// MarshalJSON writes null for a figure that no run has.
func (s Spread) MarshalJSON() ([]byte, error) {
	if math.IsNaN(s.Median) {
		return []byte("null"), nil
	}
	type plain Spread
	return json.Marshal(plain(s))
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Spread) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		*s = Spread{Median: math.NaN(), Min: math.NaN(), Max: math.NaN()}
		return nil
	}
	type plain Spread
	return json.Unmarshal(text, (*plain)(s))
}

// MarshalJSON writes null for the figures of no value, so that nobody takes them for
// very short times.
func (l Latency) MarshalJSON() ([]byte, error) {
	if l.Count == 0 {
		return []byte(`{"count":0,"mean_ms":null,"p50_ms":null,"p75_ms":null,"p90_ms":null,"p95_ms":null,"p99_ms":null,"p99_9_ms":null,"p99_99_ms":null,"max_ms":null}`), nil
	}
	type plain Latency
	return json.Marshal(plain(l))
}
