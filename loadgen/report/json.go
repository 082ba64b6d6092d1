package report

import (
	"encoding/json"
	"fmt"
	"io"

	"overtake/loadgen"
)

// WriteJSON writes the report as indented JSON.
func WriteJSON(w io.Writer, r *loadgen.Report) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("report: json: %w", err)
	}
	return nil
}
