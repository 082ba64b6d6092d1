package scheduler

// reserves returns the slots that each class keeps from less urgent ones at the
// given limit. The reserves of all classes together leave one slot open to
// everybody; when they ask for more, the most urgent are served first.
func reserves(classes []ClassConfig, limit int) []int {
	kept := make([]int, len(classes))
	left := limit - 1
	for i, class := range classes {
		want := class.Reserve
		if want == 0 {
			want = shareOf(limit, class.ReserveShare)
		}
		kept[i] = min(want, left)
		left -= kept[i]
	}
	return kept
}

// shareOf returns share of limit, rounded up. It does not overflow, whatever the
// limit.
func shareOf(limit int, share BasisPoints) int {
	wholes, rest := BasisPoints(limit)/whole, BasisPoints(limit)%whole
	return int(wholes*share + (rest*share+whole-1)/whole)
}

// unfilled is how many slots must stay free for the class: its reserve less
// what it is using.
func (c *classState) unfilled() int {
	return max(0, c.reserve-c.running)
}
