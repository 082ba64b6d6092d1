package qdisc

import (
	"context"
	"log/slog"
	"slices"
)

// A Report is what a device does with the packets of each class.
type Report struct {
	// To is the address whose route was asked for; "default" is the default route.
	To      string    `json:"to"`
	Device  string    `json:"device"`
	Classes []Landing `json:"classes"`
	// Remedy is what helps where a class has trouble; "" if nothing is wrong, or
	// nothing helps, as on loopback.
	Remedy string `json:"remedy,omitempty"`
}

// newReport fills in Remedy.
func newReport(to string, tree Tree, loopback bool, classes []Class) Report {
	r := Report{To: to, Device: tree.Device, Classes: tree.Land(classes)}
	troubled := slices.ContainsFunc(r.Classes, func(l Landing) bool { return l.Trouble != "" })
	switch {
	case !troubled || loopback:
	case tree.Ours():
		r.Remedy = "build its queues for these classes: overtake qdisc apply --dev " + r.Device
	default:
		r.Remedy = "give it queues for the classes (overtake qdisc apply --dev " + r.Device + "), or change socket: of the classes"
	}
	return r
}

// Log writes one line per class: a warning where its marks don't help it and
// something else would.
func (r Report) Log(log *slog.Logger) {
	for _, l := range r.Classes {
		level := slog.LevelInfo
		attrs := []slog.Attr{
			slog.String("class", l.Class), slog.String("marks", l.Marks), slog.String("to", r.To),
			slog.String("device", r.Device), slog.String("qdisc", l.Qdisc), slog.String("band", l.Band),
		}
		if l.Trouble != "" {
			attrs = append(attrs, slog.String("trouble", l.Trouble))
			if r.Remedy != "" {
				level = slog.LevelWarn
				attrs = append(attrs, slog.String("remedy", r.Remedy))
			}
		}
		log.LogAttrs(context.Background(), level, "kernel queue of class", attrs...)
	}
}
