package arrival

import (
	"fmt"
	"strings"
)

// String says of what kind the arrivals are, such as "Poisson, at a rate that
// changes, and bursts of 400 every 2s". It leaves out how many come per second.
func (p Plan) String() string {
	var parts []string
	if kind := p.ofRate(); kind != "" {
		parts = append(parts, kind)
	}
	switch b := p.Bursts; {
	case b.Size == 0:
	case b.Every == 0:
		parts = append(parts, fmt.Sprintf("a burst of %d", b.Size))
	default:
		parts = append(parts, fmt.Sprintf("bursts of %d every %v", b.Size, b.Every))
	}
	if n := len(p.Replay.Arrivals); n > 0 {
		text := fmt.Sprintf("a replay of %d", n)
		if s := p.Replay.Speed; s != 0 && s != 1 {
			text += fmt.Sprintf(", %gx as fast", s)
		}
		parts = append(parts, text)
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", and ")
}

// ofRate is empty without a rate.
func (p Plan) ofRate() string {
	var any, changes bool
	for _, piece := range p.Rate {
		any = any || piece.From > 0 || piece.To > 0
		changes = changes || piece.From != piece.To || piece.From != p.Rate[0].From
	}
	if !any {
		return ""
	}
	kind := "Poisson"
	if p.Spacing == Constant {
		kind = "constant"
	}
	if changes {
		kind += ", at a rate that changes"
	}
	return kind
}
