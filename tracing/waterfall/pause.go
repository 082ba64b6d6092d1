package waterfall

import (
	"cmp"
	"slices"
	"strconv"

	"overtake/tracing"
)

// attempt is the number of a delivery's attempt, 0 for what is none.
func (n *node) attempt() int {
	number, err := strconv.Atoi(n.Text("overtake.attempt"))
	if err != nil || !n.own || n.Kind != tracing.Consumer {
		return 0
	}
	return number
}

// pauses returns the stretches between each attempt of a message and the next one,
// and notes them where they end.
func (r *Request) pauses() (pauses []interval) {
	attempts := map[string][]*node{} // by message
	r.walk(func(n *node) {
		if message := n.Text("messaging.message.id"); message != "" && n.attempt() > 0 {
			attempts[message] = append(attempts[message], n)
		}
	})
	for _, list := range attempts {
		slices.SortStableFunc(list, func(a, b *node) int {
			return cmp.Or(cmp.Compare(a.attempt(), b.attempt()), byStart(a, b))
		})
		for i, n := range list[1:] {
			before := list[i]
			if n.attempt() == before.attempt()+1 && n.start.After(before.end) {
				n.paused = n.start.Sub(before.end)
				pauses = append(pauses, interval{before.end, n.start})
			}
		}
	}
	return pauses
}
