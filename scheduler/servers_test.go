package scheduler

import "testing"

func TestServerWithAShareOfItsLimit(t *testing.T) {
	cfg := twoClasses()
	cfg.Limit, cfg.Servers = 4, 2
	s := newScheduler(t, cfg)
	s.SetShare(1, 5000)
	cfg.Limit = 8
	s.Reconfigure(cfg)
	if snap := s.Snapshot(); snap.Limit != 12 || snap.Servers[1].Limit != 4 {
		t.Errorf("half of the second server's limit: %+v", snap)
	}
	s.SetDown(1, true)
	s.SetDown(1, false)
	s.SetShare(1, 1)
	if snap := s.Snapshot(); snap.Limit != 9 || snap.Servers[1].Limit != 1 {
		t.Errorf("the least share of the second server's limit: %+v", snap)
	}
	s.SetShare(1, 10_000)
	if limit := s.Limit(); limit != 16 {
		t.Errorf("limit %d with the whole of both servers", limit)
	}
	for _, share := range []BasisPoints{-1, 0, 10_001} {
		wantPanic(t, func() { s.SetShare(0, share) })
	}
}
