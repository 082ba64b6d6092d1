package main

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// durations reads flags that are durations: what is wrong is told with what to write
// instead.
func durations() kong.Option {
	return kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(func(ctx *kong.DecodeContext, target reflect.Value) error {
		var text string
		if err := ctx.Scan.PopValueInto("duration", &text); err != nil {
			return err
		}
		d, err := parseDuration(text)
		if err != nil {
			return err
		}
		target.SetInt(int64(d))
		return nil
	}))
}

// parseDuration is [time.ParseDuration] with a remedy.
func parseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err == nil {
		return d, nil
	}
	if text != "" && strings.Trim(text, "0123456789.") == "" {
		return 0, fmt.Errorf("%q is no duration: it has no unit; write %ss, or %sm for minutes", text, text, text)
	}
	return 0, fmt.Errorf("%q is no duration; write one such as 500ms, 10s or 1m30s", text)
}
