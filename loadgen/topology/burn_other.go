//go:build !linux

package topology

import "time"

// burn keeps a processor busy for d. There is no clock here for the CPU time of
// one thread, so what others take of it counts.
func burn(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		spin(1000)
	}
}
