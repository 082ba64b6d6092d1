package gateway

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var errTest = errors.New("failed")

// TestHealthStories tells what becomes of a server. Each word is what happens to it,
// or "+D" for the time that passes; in brackets is what it is afterwards.
func TestHealthStories(t *testing.T) {
	rules := healthRules{failures: 3, ejectFor: 10 * time.Second, ramp: 10 * time.Second}
	checked := rules
	checked.interval, checked.checkFailures, checked.checksPassed = 2*time.Second, 3, 2
	noRamp, never := rules, rules
	noRamp.ramp, never.failures = 0, 0
	for _, tc := range []struct {
		title string
		rules healthRules
		story string
	}{
		{"three failures in a row eject it", rules, "failed failed [up] failed [ejected] +9.9s [ejected] +100ms [ramping 1] +1s [ramping 2] +8s [ramping 10] +1s [up]"},
		{"an answer in between ends the row", rules, "failed failed answered failed failed [up] failed [ejected]"},
		{"the last one is never ejected", rules, "failed:last failed:last failed:last failed:last [up] failed [ejected]"},
		{"one failure is enough while it ramps, and it is away for longer", rules,
			"failed failed failed +10s [ramping 1] failed [ejected] +19.9s [ejected] +100ms [ramping 1] failed +40s [ramping 1] failed +80s [ramping 1] failed +79.9s [ejected] +100ms [ramping 1]"},
		{"and again just after the ramp", rules, "failed failed failed +10s +10s [up] failed failed [up] failed [ejected] +19.9s [ejected]"},
		{"what was long ago is forgotten", rules, "failed failed failed +10s +10s [up] +11s failed failed failed [ejected] +10s [ramping 1]"},
		{"it may ramp as the last one", rules, "failed failed failed +10s [ramping 1] failed:last [ramping 1]"},
		{"what began before it came back says nothing", rules, "failed failed failed +10s [ramping 1] +1s failed:-2s unreachable:-2s [ramping 2] failed:-1s [ejected]"},
		{"it is recalled", rules, "failed failed failed [ejected] recall [up] failed failed [up] recall failed [ejected]"},
		{"no connection", rules, "unreachable [down] +250ms bad [down] +500ms bad +1s bad +2s bad +2s [down due] ok [ramping 1] +10s [up]"},
		{"no connection while it is ejected", rules, "failed failed failed unreachable [down] +1m [down due] recall [down due] ok [ramping 1]"},
		{"without a ramp", noRamp, "unreachable [down] +250ms ok [up] failed failed failed [ejected] +10s [up] failed failed failed [ejected] +19.9s [ejected] +100ms [up]"},
		{"without ejection", never, "failed failed failed failed failed [up] unreachable [down] ok [ramping 1] failed [ramping 1]"},
		{"checks fail", checked, "[up due] ok +2s [up due] bad +2s bad +2s [up due] bad [down] +250ms [down due] bad +500ms [down due] ok [down] +1s [down due] ok [ramping 1]"},
		{"a check in between ends the row", checked, "bad +2s bad +2s ok +2s bad +2s bad [up] +2s bad [down] +250ms ok bad ok [down] ok [ramping 1]"},
		{"checks succeed, and its answers fail", checked, "ok failed failed failed [ejected] +2s [ejected due] ok +8s [ramping 1 due] ok [ramping 1]"},
		{"checks fail while it is ejected", checked, "failed failed failed [ejected due] bad bad bad [down] +1m [down due]"},
		{"checks fail while it ramps", checked, "unreachable [down] +250ms ok ok [ramping 1] bad bad bad [down]"},
	} {
		t.Run(tc.title, func(t *testing.T) { tellStory(t, tc.rules, tc.story) })
	}
}

func tellStory(t *testing.T, rules healthRules, story string) {
	now := time.Unix(1_000_000, 0)
	h := health{rules: &rules}
	if rules.interval > 0 {
		h.checkAt = now
	}
	for _, word := range words(story) {
		event, argument, _ := strings.Cut(word, ":")
		began := now
		if d, err := time.ParseDuration(argument); err == nil {
			began = now.Add(d)
		}
		switch {
		case event == "failed":
			h.answerFailed(now, began, argument == "last", errTest)
		case event == "answered":
			h.answered()
		case event == "unreachable":
			h.unreachable(now, began, errTest)
		case event == "ok":
			h.checked(now, nil)
		case event == "bad":
			h.checked(now, errTest)
		case event == "recall":
			h.recall(now)
		case event[0] == '+':
			d, err := time.ParseDuration(event[1:])
			if err != nil {
				t.Fatal(err)
			}
			now = now.Add(d)
			h.tick(now)
		case event[0] == '[':
			if got := showing(&h, now); "["+got+"]" != word {
				t.Errorf("it is %s, want %s, in %q", got, word, story)
			}
		default:
			t.Fatalf("the word %q is unknown", word)
		}
	}
}

// words splits at spaces, but not in brackets.
func words(story string) (all []string) {
	for story = strings.TrimSpace(story); story != ""; story = strings.TrimSpace(story) {
		end := strings.IndexByte(story+" ", ' ')
		if story[0] == '[' {
			end = strings.IndexByte(story, ']') + 1
		}
		all, story = append(all, story[:end]), story[end:]
	}
	return all
}

// showing is what an onlooker sees of h: its standing, its share, whether it is to be
// checked.
func showing(h *health, now time.Time) string {
	s := h.standing.String()
	if h.standing == serverRamping {
		s += fmt.Sprint(" ", h.share(now))
	}
	if !h.checkAt.IsZero() && !now.Before(h.checkAt) {
		s += " due"
	}
	return s
}

// TestHealthAlwaysComesBack: whatever has happened, a server that is fit for requests
// gets to be up with its whole limit, by its own doing when next says; and it leaves
// that only as the rules allow.
func TestHealthAlwaysComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := healthRules{
			failures: rapid.IntRange(0, 3).Draw(t, "failures"),
			ejectFor: time.Duration(rapid.IntRange(1, 10).Draw(t, "for")) * time.Second,
			ramp:     time.Duration(rapid.IntRange(0, 7).Draw(t, "ramp")) * 333 * time.Millisecond,
		}
		if rapid.Bool().Draw(t, "checked") {
			rules.interval = time.Duration(rapid.IntRange(1, 30).Draw(t, "interval")) * 100 * time.Millisecond
			rules.checkFailures, rules.checksPassed = rapid.IntRange(1, 3).Draw(t, "fail"), rapid.IntRange(1, 3).Draw(t, "pass")
		}
		now := time.Unix(1_000_000, 0)
		h := health{rules: &rules}
		if rules.interval > 0 {
			h.checkAt = now
		}
		row := 0 // of failed answers since it came to its standing
		for range rapid.IntRange(0, 60).Draw(t, "events") {
			was, last := h.standing, rapid.IntRange(0, 3).Draw(t, "last") == 0
			event := rapid.SampledFrom([]string{"failed", "failed", "answered", "unreachable", "ok", "bad", "recall", "time", "time"}).Draw(t, "event")
			switch event {
			case "failed":
				row++
				h.answerFailed(now, now, last, errTest)
			case "answered":
				row = 0
				h.answered()
			case "unreachable":
				h.unreachable(now, now, errTest)
			case "ok":
				h.checked(now, nil)
			case "bad":
				h.checked(now, errTest)
			case "recall":
				h.recall(now)
			case "time":
				now = now.Add(time.Duration(rapid.IntRange(1, 5000).Draw(t, "ms")) * time.Millisecond)
				h.tick(now)
			}
			if share := h.share(now); share < 1 || share > rampSteps || share < rampSteps && h.standing != serverRamping {
				t.Fatalf("share %d while %v", share, h.standing)
			}
			if h.standing == serverEjected && was != serverEjected && (last || event != "failed" || was == serverUp && row < rules.failures || rules.failures == 0) {
				t.Fatalf("ejected from %v by %s after %d in a row, last %t, with %+v", was, event, row, last, rules)
			}
			if h.standing == serverDown && was != serverDown && event != "unreachable" && (event != "bad" || rules.interval == 0) {
				t.Fatalf("down from %v by %s", was, event)
			}
			if h.standing != was {
				row = 0
			}
		}
		// A long ejection takes many checks, ten a second at the most.
		most := 200 + int(rules.ejectFor.Seconds())*longestEjection*10
		for n := 0; h.standing != serverUp; n++ {
			at := h.next(now)
			if at.IsZero() || n > most {
				t.Fatalf("%v for ever, after %d steps, with %+v", h.standing, n, rules)
			}
			if at.After(now) {
				now = at
			}
			h.tick(now)
			if !h.checkAt.IsZero() && !now.Before(h.checkAt) {
				h.checked(now, nil)
			}
		}
	})
}

func TestBudget(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	take := func(b *budget) (n int) {
		for b.take(now) {
			n++
		}
		return n
	}
	b := newBudget(1000) // 10%
	if n := take(b); n != retriesAnyway {
		t.Errorf("%d retries without a request, want %d", n, retriesAnyway)
	}
	for range 99 {
		b.request()
	}
	if n := take(b); n != 9 {
		t.Errorf("%d retries of 99 requests, want 9", n)
	}
	b.request()
	if n := take(b); n != 1 {
		t.Errorf("%d retries of one more, want 1", n)
	}
	now = now.Add(time.Second)
	if n := take(b); n != retriesAnyway {
		t.Errorf("%d retries a second later, want %d", n, retriesAnyway)
	}
	for range 100_000 {
		b.request()
	}
	if n := take(b); n != savedRetries {
		t.Errorf("%d retries saved up, want %d", n, savedRetries)
	}
	if n := take(newBudget(0)); n != retriesAnyway {
		t.Errorf("%d retries without a budget, want %d", n, retriesAnyway)
	}
}
