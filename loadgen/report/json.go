package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

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

// maxReport bounds what is read. A run of a class takes about 30 KiB, so this is
// enough for thousands of them.
const maxReport = 256 << 20

// ReadJSON reads what [WriteJSON] wrote, up to 256 MiB of it. It accepts fields
// that it does not know: newer versions may add some without another schema. The
// errors say what to do, but do not name the file; the caller knows it.
func ReadJSON(r io.Reader) (*loadgen.Report, error) {
	text, err := readBounded(r, maxReport)
	if err != nil {
		return nil, err
	}
	var head struct {
		Schema      *int            `json:"schema"`
		Files       json.RawMessage `json:"files"` // of a comparison
		Environment struct {
			Version string `json:"version"`
		} `json:"environment"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, notReport(text, err)
	}
	switch {
	case head.Files != nil:
		return nil, errors.New("report: this is a comparison, not a report: give the report.json files that it compares")
	case head.Schema == nil:
		return nil, errors.New("report: not a report.json of overtake loadgen, as it has no schema: " + giveReport)
	}
	if err := checkSchema(*head.Schema, head.Environment.Version); err != nil {
		return nil, err
	}
	report := new(loadgen.Report)
	if err := json.Unmarshal(text, report); err != nil {
		var misfit *json.UnmarshalTypeError
		if errors.As(err, &misfit) && misfit.Field != "" {
			err = fmt.Errorf("%s is a %s", strings.ReplaceAll(misfit.Field, ".Counts.", "."), misfit.Value)
		}
		return nil, fmt.Errorf("report: a field does not fit schema %d (%w): measure again with this overtake", loadgen.ReportSchema, err)
	}
	if err := checkFigures(report); err != nil {
		return nil, err
	}
	if err := checkClasses(report); err != nil {
		return nil, err
	}
	return report, nil
}

// checkClasses refuses a class that is twice in a run: nobody could tell which of
// them a figure is of.
func checkClasses(r *loadgen.Report) error {
	for i, run := range r.Runs {
		seen := make(map[string]bool)
		for _, c := range run.Classes {
			if seen[c.Name] {
				return fmt.Errorf("report: runs[%d] has the class %q twice: measure again, with a name for each class", i, c.Name)
			}
			seen[c.Name] = true
		}
	}
	return nil
}

// maxNumber bounds the figures of a report: what is above it, such as 30 years in
// milliseconds, was never measured, and sums and ratios of what is not stay finite.
const maxNumber = 1e12

// checkFigures refuses the first number of a report that no run can have.
func checkFigures(r *loadgen.Report) error {
	if at, figure := absurd(reflect.ValueOf(*r)); figure.IsValid() {
		return fmt.Errorf("report: %s is %v, which no run can have: measure again", strings.TrimPrefix(at, "."), figure)
	}
	return nil
}

// absurd returns the first number in v that is below 0 or above maxNumber, and where it
// is; none is not valid. NaN stands for no figure.
func absurd(v reflect.Value) (at string, figure reflect.Value) {
	switch v.Kind() {
	case reflect.Float64:
		if v.Float() < 0 || v.Float() > maxNumber {
			return "", v
		}
	case reflect.Int, reflect.Int64:
		if v.Int() < 0 || v.Int() > maxNumber {
			return "", v
		}
	case reflect.Slice:
		for i := range v.Len() {
			if at, figure = absurd(v.Index(i)); figure.IsValid() {
				return fmt.Sprintf("[%d]%s", i, at), figure
			}
		}
	case reflect.Map:
		for entry := v.MapRange(); entry.Next(); {
			if at, figure = absurd(entry.Value()); figure.IsValid() {
				return fmt.Sprintf("[%q]%s", entry.Key(), at), figure
			}
		}
	case reflect.Struct:
		return absurdField(v)
	}
	return "", reflect.Value{}
}

// absurdField is absurd for a struct. A time has no fields of its own to look at.
func absurdField(v reflect.Value) (at string, figure reflect.Value) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if !field.IsExported() {
			continue
		}
		if at, figure = absurd(v.Field(i)); figure.IsValid() {
			if !field.Anonymous {
				name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
				at = "." + name + at
			}
			return at, figure
		}
	}
	return "", reflect.Value{}
}

const giveReport = "give one that it wrote with --out"

func readBounded(r io.Reader, most int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, most+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("report: %w", err)
	case int64(len(text)) > most:
		return nil, fmt.Errorf("report: more than %d MiB, the most that is read: make fewer runs (--repeat) in one report", most>>20)
	}
	return text, nil
}

// notReport says what is wrong with a text that is not JSON.
func notReport(text []byte, err error) error {
	var syntax *json.SyntaxError
	var misfit *json.UnmarshalTypeError
	switch {
	case errors.As(err, &misfit) && misfit.Field == "":
		return fmt.Errorf("report: not a report.json of overtake loadgen, but a JSON %s: %s", misfit.Value, giveReport)
	case errors.As(err, &misfit):
		return fmt.Errorf("report: not a report.json of overtake loadgen, as %s is a %s: %s", misfit.Field, misfit.Value, giveReport)
	case len(bytes.TrimSpace(text)) == 0:
		return errors.New("report: the file is empty: " + giveReport)
	case errors.As(err, &syntax) && syntax.Offset >= int64(len(text)):
		return fmt.Errorf("report: cut short after %d bytes: copy it again, or measure again", len(text))
	}
	return fmt.Errorf("report: not a report.json of overtake loadgen (%w): %s", err, giveReport)
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
