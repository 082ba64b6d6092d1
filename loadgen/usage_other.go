//go:build !linux

package loadgen

import (
	"runtime"
	"time"
)

// waitTime is not known here; the verdict then goes by the other signs.
func waitTime() (waited time.Duration, turns int64) { return 0, 0 }

// machineLoad is not known here.
func machineLoad() (load float64, processors int) { return 0, 0 }

// cores returns how many cores this process may use at a time.
func cores() int { return runtime.GOMAXPROCS(0) }
