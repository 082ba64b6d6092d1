package nats

import "fmt"

// version is a server's: what is after the second number does not matter here.
type version struct{ major, minor int }

// What takes which server. An older one does not refuse what it doesn't know: it
// ignores it, or gives no answer.
var (
	queuesFrom  = version{2, 9}  // nats.go names consumers in the subject of the request
	pausesFrom  = version{2, 11} // also for a purge, which pauses
	recordsFrom = version{2, 11} // single records expire
)

// require fails if the server that c is connected to is too old for what. Of a
// cluster, others may be. While there is no server, there is nothing to say.
func (c *Conn) require(what string, least version) error {
	text := c.nc.ConnectedServerVersion()
	var v version
	if n, _ := fmt.Sscanf(text, "%d.%d", &v.major, &v.minor); n < 2 {
		return nil
	}
	if v.major > least.major || v.major == least.major && v.minor >= least.minor {
		return nil
	}
	return tooOld(text, what, least)
}

func tooOld(present, what string, least version) error {
	return fmt.Errorf("the server is NATS %s, and %s take %d.%d: update all servers to that or later", present, what, least.major, least.minor)
}
