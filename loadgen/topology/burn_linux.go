package topology

import (
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// burn uses d of CPU time, however long that takes when others want the
// processors too.
func burn(d time.Duration) {
	runtime.LockOSThread() // the clock is that of one thread
	defer runtime.UnlockOSThread()
	perMicrosecond := spinsPerMicrosecond()
	// The clock is a system call: it is read every 50 us, and for what is left.
	for end := threadTime() + d; ; {
		left := end - threadTime()
		if left <= 0 {
			return
		}
		spin(1 + int(min(left, 50*time.Microsecond).Microseconds())*perMicrosecond)
	}
}

// spinsPerMicrosecond is found out once, on an idle moment's best of a few.
var spinsPerMicrosecond = sync.OnceValue(func() int {
	const spins = 20_000
	best := time.Hour
	for range 5 {
		began := threadTime()
		spin(spins)
		best = min(best, threadTime()-began)
	}
	return max(1, int(spins*time.Microsecond/max(best, 1)))
})

// threadTime is the CPU time that the calling thread has used.
func threadTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		panic("topology: the thread's CPU clock: " + err.Error()) // every Linux has it
	}
	return time.Duration(ts.Nano())
}
