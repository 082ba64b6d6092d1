package config

import (
	"time"

	"overtake/classifier/strictyaml"
)

// What the kernel takes and somebody may want; 0 is not set.
const (
	minNotSentLowat strictyaml.Size = 1 << 10
	maxNotSentLowat strictyaml.Size = 1 << 30
	minPacingRate   Rate            = 8e3
	maxPacingRate   Rate            = 1e12
	minUserTimeout                  = time.Second // less is about one retransmission
	maxUserTimeout                  = 24 * time.Hour
)

func (v validator) validateSocket(path string, s Socket) {
	if s.Priority != nil {
		v.within(path+".priority", *s.Priority, 0, 15)
	}
	// The kernel's limit is TCP_CA_NAME_MAX, with the final NUL.
	if s.Congestion != "" && (len(s.Congestion) > 15 || !only(s.Congestion, "abcdefghijklmnopqrstuvwxyz0123456789-_")) {
		v.Wrong(path+".congestion", s.Congestion, "is not the name of a congestion control", "write cubic or bbr")
	}
	if at := path + ".notsent_lowat"; v.Given(at) && (s.NotSentLowat < minNotSentLowat || s.NotSentLowat > maxNotSentLowat) {
		v.Problem(at, "16KiB is common; leave it out for no bound", "%s is out of range; want %s to %s", s.NotSentLowat, minNotSentLowat, maxNotSentLowat)
	}
	if at := path + ".max_pacing_rate"; v.Given(at) && (s.MaxPacingRate < minPacingRate || s.MaxPacingRate > maxPacingRate) {
		v.Problem(at, "leave it out for no bound", "%s is out of range; want %s to %s", s.MaxPacingRate, minPacingRate, maxPacingRate)
	}
	if at := path + ".user_timeout"; v.Given(at) && (s.UserTimeout < minUserTimeout || s.UserTimeout > maxUserTimeout) {
		v.Problem(at, "leave it out for the system's own", "%s is out of range; want %s to %s", s.UserTimeout, minUserTimeout, maxUserTimeout)
	}
}
