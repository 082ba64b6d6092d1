package loadgen

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// waitTime returns how long the threads of this process have been ready to run
// without a core, and how often they got one, as the scheduler counted since
// they began. Of the process as a whole the kernel tells only its first thread,
// so all are summed up; those that have ended are missing.
func waitTime() (waited time.Duration, turns int64) {
	files, _ := filepath.Glob("/proc/self/task/*/schedstat")
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		// ns on a core, ns waiting for one, times it got one
		fields := strings.Fields(string(b))
		if len(fields) < 3 {
			continue
		}
		ns, _ := strconv.ParseInt(fields[1], 10, 64)
		n, _ := strconv.ParseInt(fields[2], 10, 64)
		waited += time.Duration(ns)
		turns += n
	}
	return waited, turns
}

// machineLoad returns the load average of the last minute and the number of processors
// of the machine, of which this process may be allowed fewer.
func machineLoad() (load float64, processors int) {
	averages, err := os.ReadFile("/proc/loadavg")
	stat, statErr := os.ReadFile("/proc/stat")
	if err != nil || statErr != nil {
		return 0, 0
	}
	first, _, _ := strings.Cut(string(averages), " ")
	load, _ = strconv.ParseFloat(first, 64)
	for line := range strings.Lines(string(stat)) {
		if strings.HasPrefix(line, "cpu") && !strings.HasPrefix(line, "cpu ") { // that is the sum
			processors++
		}
	}
	return load, processors
}

// cores returns how many cores this process may use at a time.
func cores() int {
	n := runtime.GOMAXPROCS(0)
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err == nil {
		n = max(1, min(n, set.Count()))
	}
	return n
}
