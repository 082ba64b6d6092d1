package scheduler

import (
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var ops = flag.Int("ops", 1_000_000, "number of random operations in which core and oracle are compared")

// duel applies every op to the core and to the oracle, and compares them.
type duel struct {
	player *player
	oracle *oracle
}

func newDuel(cfg Config) duel { return duel{newPlayer(cfg), newOracle(cfg)} }

func (d duel) apply(o op) error {
	got, want := d.player.apply(o), d.oracle.apply(o)
	if !slices.Equal(got, want) {
		return fmt.Errorf("after %v the core decided %v, want %v", o, got, want)
	}
	core, oracle := d.player.core, d.oracle
	if core.running != len(oracle.running) || core.waiting != len(oracle.waiting) {
		return fmt.Errorf("after %v %d run and %d wait, want %d and %d",
			o, core.running, core.waiting, len(oracle.running), len(oracle.waiting))
	}
	for i := range core.servers {
		if core.servers[i].running != oracle.runningOn(i) {
			return fmt.Errorf("after %v %d run on server %d, want %d", o, core.servers[i].running, i, oracle.runningOn(i))
		}
	}
	for i := range core.classes {
		class := &core.classes[i]
		if class.running != oracle.runningOf(i) {
			return fmt.Errorf("after %v %d of class %d run, want %d", o, class.running, i, oracle.runningOf(i))
		}
		if class.counts != oracle.counts[i] {
			return fmt.Errorf("after %v class %d counts %+v, want %+v", o, i, class.counts, oracle.counts[i])
		}
		if int(class.credit) != oracle.earned[i] {
			return fmt.Errorf("after %v class %d has credit %d, want %d", o, i, class.credit, oracle.earned[i])
		}
	}
	return nil
}

// TestCoreMatchesOracle compares them for volume. The same by rapid is slower,
// but shrinks what it finds.
func TestCoreMatchesOracle(t *testing.T) {
	began, done := time.Now(), 0
	for seed := uint64(0); done < *ops; seed++ {
		pick := seeded(seed)
		cfg := pick.someConfig()
		d := newDuel(cfg)
		for range 500 {
			if err := d.apply(pick.someOpOrReconfigure(d.oracle.cfg.Classes)); err != nil {
				t.Fatalf("seed %d, %+v:\n%v", seed, cfg, err)
			}
			done++
		}
	}
	t.Logf("%d operations, %.0f/s", done, float64(done)/time.Since(began).Seconds())
}

func TestCoreMatchesOracleRapid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pick := choose(func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "pick") })
		cfg := pick.someConfig()
		t.Logf("%+v", cfg)
		d := newDuel(cfg)
		for range rapid.IntRange(1, 300).Draw(t, "ops") {
			o := pick.someOpOrReconfigure(d.oracle.cfg.Classes)
			t.Log(o)
			if err := d.apply(o); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzCore(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("one slot, one class, and whatever these letters mean"))
	f.Add([]byte{1, 3, 2, 1, 0, 4, 1, 1, 50, 0, 5, 0, 0, 20, 1, 0, 20, 1, 1, 120, 0, 180, 7, 190})
	f.Fuzz(func(t *testing.T, data []byte) {
		pick := fromBytes(&data)
		cfg := pick.someConfig()
		d := newDuel(cfg)
		for n := 0; n < 1000 && len(data) > 0; n++ {
			if err := d.apply(pick.someOpOrReconfigure(d.oracle.cfg.Classes)); err != nil {
				t.Fatalf("%+v:\n%v", cfg, err)
			}
		}
	})
}
