package scheduler

import "time"

// makeRoom finds room for t in the waiting room, if need be by pushing out the
// newest work of less urgent classes. It reports 0, or why there is no room;
// then nothing was pushed out.
func (c *core) makeRoom(t *ticket, now time.Duration) Reason {
	class := &c.classes[t.class]
	if t.bytes > class.maxBytes {
		return QueueBytes
	}
	lackCount := class.bounded >= class.maxWaiting || c.bounded >= c.maxWaiting
	lackBytes := class.bytes+t.bytes > class.maxBytes || c.bytes+t.bytes > c.maxBytes
	if !lackCount && !lackBytes {
		return 0
	}
	if class.maxWaiting == 0 {
		return QueueFull
	}
	full := QueueBytes
	if lackCount {
		full = QueueFull
	}
	var need int64
	if lackBytes {
		need = t.bytes
	}
	lower, lowerBytes := 0, int64(0)
	for i := t.class + 1; i < len(c.classes); i++ {
		lower += c.classes[i].bounded
		lowerBytes += c.classes[i].bytes
	}
	if lower == 0 || lowerBytes < need {
		return full
	}
	// One victim makes room for one arrival, however many bytes it held; more
	// follow until their bytes suffice.
	for i, freed := len(c.classes)-1, int64(-1); freed < need; {
		victim := c.classes[i].newestBounded()
		if victim == nil {
			i--
			continue
		}
		freed = max(freed, 0) + victim.bytes
		c.shed(victim, Displaced, now)
	}
	return 0
}

// newestBounded returns the latest arrival of the class that may be displaced.
func (c *classState) newestBounded() *ticket {
	if c.bounded == 0 {
		return nil
	}
	t := c.waiting.tail
	for t.kept {
		t = t.inClass.prev
	}
	return t
}
