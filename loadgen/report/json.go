package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"overtake/loadgen"
)

// WriteJSON writes the report as indented JSON. docs/report.md describes it.
func WriteJSON(w io.Writer, r *loadgen.Report) error { return writeJSON(w, r) }

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("report: json: %w", err)
	}
	return nil
}

// ReadJSON reads what [WriteJSON] wrote. It accepts fields that it does not
// know: newer versions may add some without another schema. The errors do not
// name the file; the caller knows it.
func ReadJSON(r io.Reader) (*loadgen.Report, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	var head struct {
		Schema      *int `json:"schema"`
		Environment struct {
			Version string `json:"version"`
		} `json:"environment"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, fmt.Errorf("report: not a report.json of overtake loadgen: %w", err)
	}
	if head.Schema == nil {
		return nil, errors.New("report: not a report.json of overtake loadgen: it has no schema")
	}
	if err := checkSchema(*head.Schema, head.Environment.Version); err != nil {
		return nil, err
	}
	report := new(loadgen.Report)
	if err := json.Unmarshal(text, report); err != nil {
		return nil, fmt.Errorf("report: the report does not fit schema %d: %w", loadgen.ReportSchema, err)
	}
	return report, nil
}

// checkSchema says what to do about a report of another schema.
func checkSchema(schema int, version string) error {
	if version == "" {
		version = "of an unknown version"
	}
	switch {
	case schema < loadgen.ReportSchema:
		return fmt.Errorf("report: overtake %s wrote this report with schema %d, and this one reads schema %d: "+
			"measure again with this overtake, or compare with the one that wrote it", version, schema, loadgen.ReportSchema)
	case schema > loadgen.ReportSchema:
		return fmt.Errorf("report: overtake %s wrote this report with schema %d, and this one reads up to schema %d: "+
			"use an overtake as new as that", version, schema, loadgen.ReportSchema)
	}
	return nil
}
