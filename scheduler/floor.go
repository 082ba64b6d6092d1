package scheduler

// maxFloors bounds the sum of all floors, so that the class order keeps at
// least every tenth dispatch.
const maxFloors BasisPoints = 9_000

// owed returns the waiting class that has earned a dispatch by its floor, the
// one with the most credit first, or -1. The next dispatch counts already.
func (c *core) owed() int {
	if !c.anyFloor {
		return -1
	}
	best, most := -1, BasisPoints(-1)
	for i := range c.classes {
		class := &c.classes[i]
		if class.floor == 0 || class.waiting.n == 0 {
			continue
		}
		due := class.credit + class.floor
		if due+class.early >= whole && due > most {
			best, most = i, due
		}
	}
	return best
}

// earn credits every waiting class with its floor's part of one dispatch, and
// charges the class that got it. It is called before the dispatched ticket
// leaves the lists.
func (c *core) earn(got int) {
	if !c.anyFloor {
		return
	}
	for i := range c.classes {
		class := &c.classes[i]
		if class.floor == 0 || class.waiting.n == 0 {
			continue
		}
		class.credit += class.floor
		if i == got {
			class.credit = max(0, class.credit-whole)
		}
	}
}
