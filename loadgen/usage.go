package loadgen

import "time"

// usage is what this process has used at a moment.
type usage struct {
	at     time.Duration // since the start of the run
	cpu    time.Duration
	waited time.Duration // ready to run, without a core
	turns  int64         // on a core
}

// readUsage reads the usage of a generator whose loops have been awake for nothing for
// so long, which is time that they could have worked in.
func readUsage(at, awake time.Duration) usage {
	u := usage{at: at, cpu: max(cpuTime()-awake, 0)}
	u.waited, u.turns = waitTime()
	return u
}

// fill fills in what was used from u to end.
func (u usage) fill(g *GeneratorUsage, end usage) {
	elapsed, ran, waited := end.at-u.at, end.cpu-u.cpu, end.waited-u.waited
	if elapsed > 0 {
		g.CPUShare = round3(ran.Seconds() / (elapsed.Seconds() * float64(cores())))
	}
	if ran > 0 && waited > 0 {
		g.CPUWaitShare = round3(waited.Seconds() / ran.Seconds())
	}
	if turns := end.turns - u.turns; turns > 0 && waited > 0 {
		g.CPUWaitMean = millis(waited / time.Duration(turns))
	}
}
