package scheduler

// maxFloors bounds the sum of all floors. Since each class earns a tenth more
// than its floor, all together earn at most 99 % of a dispatch with each
// dispatch: what they are owed can always be paid in time.
const maxFloors BasisPoints = 9_000

// A class earns earning x floor with each dispatch; a dispatch costs price.
const (
	earning             = 11
	price   BasisPoints = 10 * whole
)

// due is the class's credit if the next dispatch counts already.
func (c *classState) due() BasisPoints { return c.credit + earning*c.floor }

// owed returns the waiting class that has earned a dispatch by its floor, or -1.
// Of several it is the one that would be the first to earn another: earliest
// deadline first, which meets all deadlines if any order does.
func (c *core) owed() int {
	if !c.anyFloor {
		return -1
	}
	best := -1
	for i := range c.classes {
		class := &c.classes[i]
		if class.waiting.n == 0 || class.due() < price {
			continue
		}
		if best < 0 || class.earnsBefore(&c.classes[best]) {
			best = i
		}
	}
	return best
}

// earnsBefore reports whether c, if not served, would have earned two dispatches
// earlier than other, in fractions of a dispatch.
func (c *classState) earnsBefore(other *classState) bool {
	return (2*price-c.due())*other.floor < (2*price-other.due())*c.floor
}

// earn credits every waiting class for one dispatch, and charges the class that
// got it. It is called before the dispatched ticket leaves the lists.
func (c *core) earn(got int) {
	if !c.anyFloor {
		return
	}
	for i := range c.classes {
		class := &c.classes[i]
		if class.waiting.n == 0 {
			continue
		}
		class.credit = class.due()
		if i == got {
			class.credit = max(0, class.credit-price)
		}
	}
}
