package scheduler

// fenwick is a Fenwick tree (1994) of counts at the places 1, 2, … Its length is a
// power of two, or 0: then no place has a count. Changing one count and adding up
// those from the first on take O(log n).
type fenwick []int32 // the tree's node i is at i-1

// add changes the count at a place, which must be in the tree.
func (f fenwick) add(place int, by int32) {
	for i := place; i <= len(f); i += i & -i {
		f[i-1] += by
	}
}

// sum returns the sum of the counts up to place, which may be beyond the tree.
func (f fenwick) sum(place int) int {
	sum := int32(0)
	for i := min(place, len(f)); i > 0; i -= i & -i {
		sum += f[i-1]
	}
	return int(sum)
}

// grown returns the tree, made longer if place is beyond it.
func (f fenwick) grown(place int) fenwick {
	for place > len(f) {
		longer := make(fenwick, max(2*len(f), 16))
		if copy(longer, f); len(f) > 0 {
			longer[len(longer)-1] = f[len(f)-1] // the last node counts all
		}
		f = longer
	}
	return f
}
