package arrival

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// csvColumns are those that a file may have, in any order.
var csvColumns = []string{"at", "method", "path", "class"}

// ReadCSV reads recorded arrivals from a CSV file (RFC 4180) with a line of column
// names: at, and if they are known method, path (with its query) and class.
//
//	at,method,path,class
//	0.25,GET,/products/7?page=2,interactive
//	0.31,POST,/orders,
//
// at is in seconds from the start of the replay, with a fraction, or a time such as
// 2006-01-02T15:04:05.25Z (RFC 3339), then counted from the earliest in the file. An
// empty method or path is what the class sends otherwise. class, if it is not empty,
// selects arrivals; those of other classes count for the earliest all the same, so
// that the classes of one file keep in step. Rows may be in any order; the arrivals
// that are returned are sorted. An error names the line and the remedy.
func ReadCSV(r io.Reader, class string) ([]Arrival, error) {
	bounded := &rowReader{r: r}
	in := csv.NewReader(bounded)
	in.ReuseRecord, in.TrimLeadingSpace = true, true
	header, err := in.Read()
	if err != nil {
		return nil, csvError(err)
	}
	column, err := csvHeader(header)
	if err != nil {
		return nil, fmt.Errorf("arrival: line 1: %w", err)
	}
	if class != "" && column["class"] < 0 {
		return nil, fmt.Errorf("arrival: line 1: no column class to find those of class %q; add it, or take all", class)
	}
	rec := newRecording(class)
	var clock rune
	for {
		bounded.read = 0
		row, err := in.Read()
		if err == io.EOF {
			return rec.finish()
		}
		if err != nil {
			return nil, csvError(err)
		}
		field := func(name string) string {
			if i := column[name]; i >= 0 {
				return strings.TrimSpace(row[i])
			}
			return ""
		}
		line, _ := in.FieldPos(0)
		since, at, err := csvTime(field("at"))
		kind := 's'
		if !at.IsZero() {
			kind = 't'
		}
		if err == nil && clock != 0 && clock != kind {
			err = errors.New("seconds and times of day are mixed; write the same in all rows")
		}
		clock = kind
		if err == nil {
			err = rec.add(since, at, field("method"), field("path"), field("class"))
		}
		if err != nil {
			return nil, fmt.Errorf("arrival: line %d: %w", line, err)
		}
	}
}

// csvHeader returns where the columns are; -1 is nowhere.
func csvHeader(header []string) (map[string]int, error) {
	column := map[string]int{"at": -1, "method": -1, "path": -1, "class": -1}
	for i, name := range header {
		name = strings.TrimSpace(strings.TrimPrefix(name, "\ufeff"))
		if !slices.Contains(csvColumns, name) {
			return nil, fmt.Errorf("%q is not a column; the first line names them: at, method, path, class", short(name))
		}
		if column[name] >= 0 {
			return nil, fmt.Errorf("column %q is there twice; keep one of them", name)
		}
		column[name] = i
	}
	if column["at"] < 0 {
		return nil, errors.New("no column at; it has the time of the arrival, in seconds or as 2006-01-02T15:04:05Z")
	}
	return column, nil
}

// csvTime reads seconds or a time; the one that it is not is zero.
func csvTime(text string) (time.Duration, time.Time, error) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		if math.IsNaN(seconds) || math.Abs(seconds) > maxRecording.Seconds() {
			return 0, time.Time{}, fmt.Errorf("at %q is not within a year after the start; count seconds from the start of"+
				" the replay, or write a time such as 2006-01-02T15:04:05.25Z", short(text))
		}
		return time.Duration(math.Round(seconds * 1e9)), time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || at.Year() < 1970 {
		return 0, time.Time{}, fmt.Errorf("at %q is no time; write seconds such as 0.25, or 2006-01-02T15:04:05.25Z", short(text))
	}
	return 0, at, nil
}

// csvError is an error of encoding/csv in our words.
func csvError(err error) error {
	var parse *csv.ParseError
	switch {
	case err == io.EOF:
		return errors.New("arrival: the file is empty; its first line names the columns: at,method,path,class")
	case errors.As(err, &parse) && errors.Is(err, csv.ErrFieldCount):
		return fmt.Errorf("arrival: line %d: not as many fields as the first line names; empty ones need their comma", parse.StartLine)
	case errors.As(err, &parse):
		return fmt.Errorf("arrival: line %d: %w; put a field with a quote or a comma in quotes, and double its quotes", parse.StartLine, parse.Err)
	}
	return fmt.Errorf("arrival: %w", err)
}

// rowReader bounds what one row takes of a file: encoding/csv would hold a row of any
// length.
type rowReader struct {
	r    io.Reader
	read int // bytes since the last row
}

func (b *rowReader) Read(p []byte) (int, error) {
	if b.read > maxLine {
		return 0, fmt.Errorf("a row is longer than %d bytes; does a quote not end, or is it no CSV file?", maxLine)
	}
	n, err := b.r.Read(p)
	b.read += n
	return n, err
}
