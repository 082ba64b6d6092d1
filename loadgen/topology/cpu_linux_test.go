package topology

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// cpuOfThread is what the kernel's accounting says, by another way than burn's.
func cpuOfThread(t *testing.T) time.Duration {
	t.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
