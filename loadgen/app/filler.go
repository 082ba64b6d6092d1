package app

import "bytes"

// Filler is an endless reader of printable bytes: payload that costs no memory.
type Filler struct{}

var fillerBlock = bytes.Repeat([]byte{'x'}, 32<<10)

// Read fills p. It never fails.
func (Filler) Read(p []byte) (int, error) {
	for filled := 0; filled < len(p); {
		filled += copy(p[filled:], fillerBlock)
	}
	return len(p), nil
}
