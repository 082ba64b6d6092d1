package loadgen

import "time"

// usage is what this process has used at a moment.
type usage struct {
	at     time.Duration // since the start of the run
	cpu    time.Duration
	awake  time.Duration   // of that, the time in which loops were awake for nothing
	idle   []time.Duration // of each loop
	waited time.Duration   // ready to run, without a core
	turns  int64           // on a core

	load       float64 // average of the whole machine
	processors int     // that it has
}

// readUsage reads the usage of a generator with these flows.
func readUsage(at time.Duration, flows []*flow) usage {
	u := usage{at: at, cpu: cpuTime()}
	for _, f := range flows {
		awake := time.Duration(f.loop.rests.awake.Load())
		u.awake += awake
		u.idle = append(u.idle, awake+time.Duration(f.loop.rests.asleep.Load()))
	}
	u.waited, u.turns = waitTime()
	u.load, u.processors = machineLoad()
	return u
}

// fill fills in what was used from u to end.
func (u usage) fill(g *GeneratorUsage, end usage) {
	g.LoadAverage, g.Processors = end.load, end.processors
	elapsed, ran, waited := end.at-u.at, end.cpu-u.cpu, end.waited-u.waited
	if elapsed > 0 {
		// Awake for nothing is time that they could have worked in.
		worked := max(ran-(end.awake-u.awake), 0)
		g.CPUShare = round3(worked.Seconds() / (elapsed.Seconds() * float64(cores())))
		for i, idle := range end.idle {
			g.BusyShare = max(g.BusyShare, round3(1-min((idle-u.idle[i]).Seconds()/elapsed.Seconds(), 1)))
		}
	}
	if ran > 0 && waited > 0 {
		g.CPUWaitShare = round3(waited.Seconds() / ran.Seconds())
	}
	if turns := end.turns - u.turns; turns > 0 && waited > 0 {
		g.CPUWaitMean = millis(waited / time.Duration(turns))
	}
}
