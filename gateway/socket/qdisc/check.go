package qdisc

import (
	"context"
	"fmt"
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

// SameAs reports whether two reports are about the same classes on the same device.
func (r Report) SameAs(other Report) bool {
	return r.Device == other.Device && slices.EqualFunc(r.Classes, other.Classes, func(a, b Landing) bool { return a.Class == b.Class })
}

// newReport fills in Remedy. Where no class asks for anything, there is no trouble.
func newReport(to string, tree Tree, loopback bool, classes []Class) Report {
	r := Report{To: to, Device: tree.Device, Classes: tree.Land(classes)}
	if !slices.ContainsFunc(classes, Class.marked) {
		for i := range r.Classes {
			r.Classes[i].Trouble = ""
		}
	}
	troubled := slices.ContainsFunc(r.Classes, func(l Landing) bool { return l.Trouble != "" })
	apply := fmt.Sprintf("overtake qdisc apply --dev %s --rate RATE -c FILE", shellWord(r.Device))
	_, _, alike := planFilters(classes)
	switch {
	case !troubled || loopback:
	case alike != nil:
		r.Remedy = "tell the classes apart by socket: {priority: …, dscp: …}"
	case tree.Ours():
		r.Remedy = "build its queues for these classes: " + apply
	case tree.Foreign() != "":
		r.Remedy = "change socket: of the classes so that they fit " + tree.Foreign() + ", or replace that, for good: " + apply + " --force"
	default:
		r.Remedy = "give it queues for the classes (" + apply + "), or change socket: of the classes"
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
