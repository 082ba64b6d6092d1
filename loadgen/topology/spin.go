package topology

// spin computes for as long as n rounds take, and leaves the result in x: work
// whose result nobody could see might be left out.
func spin(n int, x *uint64) {
	y := *x | 1
	for range n {
		y ^= y << 13
		y ^= y >> 7
		y ^= y << 17
	}
	*x = y
}
