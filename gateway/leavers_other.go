//go:build !linux

package gateway

// hungUp knows no leavers: POLLRDHUP is Linux's. Requests of clients that left
// run to their end.
func hungUp([]suspect) []suspect { return nil }
