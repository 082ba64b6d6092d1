package qdisc

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"
)

// The remedy is one that can be followed.
func TestRemedy(t *testing.T) {
	pfifo := Queue{Kind: "pfifo", Handle: 0x80010000, Parent: root}
	for name, c := range map[string]struct {
		report Report
		want   string
	}{
		"somebody else's queues": {
			newReport("default", on(pfifo), false, three()),
			"change socket: of the classes so that they fit pfifo 8001:, or replace that, for good: overtake qdisc apply --dev eth0 --rate RATE -c FILE --force",
		},
		"classes that are alike": {
			newReport("default", on(pfifo), false, []Class{{Name: "a", DSCP: new(18)}, {Name: "b", DSCP: new(18)}}),
			"tell the classes apart by socket: {priority: …, dscp: …}",
		},
		"nothing was asked for": {newReport("default", on(pfifo), false, []Class{{Name: "a", Also: "congestion bbr"}, {Name: "b"}}), ""},
	} {
		if c.report.Remedy != c.want {
			t.Errorf("%s: %q, want %q", name, c.report.Remedy, c.want)
		}
	}
}

// The log has a line per class, and the JSON has the same.
func TestReport(t *testing.T) {
	quiet := newReport("192.0.2.7", on(Queue{Kind: "pfifo_fast", Parent: root, Bands: 3, Priomap: priomap}), false, three())
	troubled := newReport("default", on(Queue{Kind: "noqueue", Parent: root}), false, three()[:1])
	ours, err := Plan("eth0", []Class{{Name: "a", DSCP: new(18)}, {Name: "b"}}, MaxRate)
	if err != nil {
		t.Fatal(err)
	}
	loopback := newReport("127.0.0.1", Tree{Device: "lo", Queues: []Queue{{Kind: "noqueue", Parent: root}}}, true, three()[:1])
	for _, c := range []struct {
		name     string
		report   Report
		log, doc string
	}{{
		"quiet", quiet,
		`level=INFO msg="kernel queue of class" class=interactive marks="priority 6, dscp AF21" to=192.0.2.7 device=eth0 qdisc=pfifo_fast band="band 0 of 3"
level=INFO msg="kernel queue of class" class=standard marks=none to=192.0.2.7 device=eth0 qdisc=pfifo_fast band="band 1 of 3"
level=INFO msg="kernel queue of class" class=batch marks="priority 1, dscp LE" to=192.0.2.7 device=eth0 qdisc=pfifo_fast band="band 2 of 3"
`,
		`{"to":"192.0.2.7","device":"eth0","classes":[{"class":"interactive","marks":"priority 6, dscp AF21","qdisc":"pfifo_fast","band":"band 0 of 3"},` +
			`{"class":"standard","marks":"none","qdisc":"pfifo_fast","band":"band 1 of 3"},` +
			`{"class":"batch","marks":"priority 1, dscp LE","qdisc":"pfifo_fast","band":"band 2 of 3"}]}`,
	}, {
		"troubled", troubled,
		`level=WARN msg="kernel queue of class" class=interactive marks="priority 6, dscp AF21" to=default device=eth0 qdisc=noqueue band="no queue" trouble="marks have no effect on this device" remedy="give it queues for the classes (overtake qdisc apply --dev eth0 --rate RATE -c FILE), or change socket: of the classes"
`,
		`{"to":"default","device":"eth0","classes":[{"class":"interactive","marks":"priority 6, dscp AF21","qdisc":"noqueue","band":"no queue","trouble":"marks have no effect on this device"}],` +
			`"remedy":"give it queues for the classes (overtake qdisc apply --dev eth0 --rate RATE -c FILE), or change socket: of the classes"}`,
	}, {
		"loopback", loopback,
		`level=INFO msg="kernel queue of class" class=interactive marks="priority 6, dscp AF21" to=127.0.0.1 device=lo qdisc=noqueue band="no queue" trouble="marks have no effect on this device"
`,
		`{"to":"127.0.0.1","device":"lo","classes":[{"class":"interactive","marks":"priority 6, dscp AF21","qdisc":"noqueue","band":"no queue","trouble":"marks have no effect on this device"}]}`,
	}, {
		"made for other classes", newReport("default", ours, false, []Class{{Name: "x", DSCP: new(10)}, {Name: "y"}}),
		`level=WARN msg="kernel queue of class" class=x marks="dscp AF11" to=default device=eth0 qdisc=htb band="branch 6f76:11, prio 1" trouble="no order between it and y" remedy="build its queues for these classes: overtake qdisc apply --dev eth0 --rate RATE -c FILE"
level=WARN msg="kernel queue of class" class=y marks=none to=default device=eth0 qdisc=htb band="branch 6f76:11, prio 1" trouble="no order between it and x" remedy="build its queues for these classes: overtake qdisc apply --dev eth0 --rate RATE -c FILE"
`,
		`{"to":"default","device":"eth0","classes":[{"class":"x","marks":"dscp AF11","qdisc":"htb","band":"branch 6f76:11, prio 1","trouble":"no order between it and y","counters":{"packets":0,"bytes":0,"drops":0,"waiting":0}},` +
			`{"class":"y","marks":"none","qdisc":"htb","band":"branch 6f76:11, prio 1","trouble":"no order between it and x","counters":{"packets":0,"bytes":0,"drops":0,"waiting":0}}],` +
			`"remedy":"build its queues for these classes: overtake qdisc apply --dev eth0 --rate RATE -c FILE"}`,
	}} {
		t.Run(c.name, func(t *testing.T) {
			var log bytes.Buffer
			c.report.Log(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			}})))
			if log.String() != c.log {
				t.Errorf("it logged\n%s\nwant\n%s", log.String(), c.log)
			}
			if doc, err := json.Marshal(c.report); err != nil || string(doc) != c.doc {
				t.Errorf("as JSON, it is\n%s, %v, want\n%s", doc, err, c.doc)
			}
		})
	}
}
