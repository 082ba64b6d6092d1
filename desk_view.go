package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"overtake/broker"
	"overtake/gateway/config"
)

// print shows v as JSON, or as the table that draw makes.
func (o *deskOptions) print(v any, draw func(*tabwriter.Writer)) error {
	if o.JSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(v)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	draw(w)
	return w.Flush()
}

// laneView is a lane as it is printed. What the broker does not tell is null.
type laneView struct {
	Queue     string     `json:"queue"`
	Class     string     `json:"class"`
	Waiting   int        `json:"waiting"`
	InHand    *int       `json:"in_hand"`
	Bytes     *int64     `json:"bytes"`
	MaxBytes  *int64     `json:"max_bytes"` // null is no bound, also below
	MaxCount  *int64     `json:"max_messages"`
	Oldest    *time.Time `json:"oldest"`
	Consumers int        `json:"consumers"`
	Paused    bool       `json:"paused"`
}

func newLaneViews(queue string, lanes []broker.Lane) []laneView {
	views := make([]laneView, len(lanes))
	for i, l := range lanes {
		v := laneView{Queue: queue, Class: l.Class, Waiting: l.Waiting, Oldest: known(l.Oldest), Consumers: l.Consumers, Paused: l.Paused}
		if l.InHand != broker.Unknown {
			v.InHand = &l.InHand
		}
		if l.Bytes != broker.Unknown {
			v.Bytes = &l.Bytes
		}
		if l.MaxBytes > 0 {
			v.MaxBytes = &l.MaxBytes
		}
		if l.MaxMessages > 0 {
			v.MaxCount = &l.MaxMessages
		}
		views[i] = v
	}
	return views
}

func tableLanes(w *tabwriter.Writer, lanes []laneView) {
	fmt.Fprintln(w, "QUEUE\tCLASS\tWAITING\tIN HAND\tSIZE\tBOUND\tOLDEST\tCONSUMERS\tSTATE")
	for _, l := range lanes {
		inHand, size, bound, state := "-", "-", "-", "delivers"
		if l.InHand != nil {
			inHand = strconv.Itoa(*l.InHand)
		}
		if l.Bytes != nil {
			size = sizeText(*l.Bytes)
		}
		if l.MaxBytes != nil {
			bound = sizeText(*l.MaxBytes)
		}
		switch {
		case l.Class == broker.DeadLane:
			state = "kept"
		case l.Paused:
			state = "paused"
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%d\t%s\n", l.Queue, l.Class, l.Waiting, inHand, size, bound, age(l.Oldest), l.Consumers, state)
	}
}

// queueView is a queue as it is printed.
type queueView struct {
	Queue    string     `json:"queue"`
	Broker   string     `json:"broker"`
	Type     string     `json:"type"`
	Upstream string     `json:"upstream,omitempty"`
	Path     string     `json:"path,omitempty"`
	Attempts int        `json:"attempts"`
	Lanes    []laneView `json:"lanes"`
}

func newQueueView(cfg *config.Config, name string, lanes []laneView) *queueView {
	q := cfg.Queues[name]
	v := &queueView{Queue: name, Broker: q.Broker, Type: cfg.Brokers[q.Broker].Type, Attempts: q.Attempts, Lanes: lanes}
	if q.Deliver != nil {
		v.Upstream, v.Path = q.Deliver.Upstream, q.Deliver.Path
	}
	return v
}

func (v *queueView) table(w *tabwriter.Writer) {
	fmt.Fprintf(w, "queue\t%s\nbroker\t%s (%s)\n", v.Queue, v.Broker, v.Type)
	to := "nowhere: messages wait for a consumer elsewhere"
	if v.Upstream != "" {
		to = fmt.Sprintf("to upstream %s%s, at most %d times", v.Upstream, v.Path, v.Attempts)
	}
	fmt.Fprintf(w, "delivers\t%s\n\n", to)
	tableLanes(w, v.Lanes)
}

// messageView is a message as it is printed: one that waits, or a dead letter.
type messageView struct {
	ID         string        `json:"id"`
	Class      string        `json:"class"`
	Attempts   int           `json:"attempts"`
	Published  *time.Time    `json:"published,omitempty"`
	Died       *time.Time    `json:"died,omitempty"`
	Reason     string        `json:"reason,omitempty"`
	Size       int           `json:"size"`
	Headers    broker.Header `json:"headers"`
	Body       string        `json:"body,omitempty"`
	BodyBase64 string        `json:"body_base64,omitempty"`

	raw []byte // the body
}

func newMessageView(m *broker.Message) messageView {
	v := messageView{ID: m.ID, Class: m.Class, Size: len(m.Body), Headers: m.Header, raw: m.Body}
	if isText(m.Body) {
		v.Body = string(m.Body)
	} else {
		v.BodyBase64 = base64.StdEncoding.EncodeToString(m.Body)
	}
	return v
}

func newPeekedView(p *broker.Peeked) messageView {
	v := newMessageView(&p.Message)
	v.Attempts, v.Published = p.Attempts, known(p.Published)
	return v
}

func newDeadView(l *broker.DeadLetter) messageView {
	v := newMessageView(&l.Message)
	v.Attempts, v.Reason, v.Died = l.Attempts, l.Reason, known(l.Died)
	return v
}

func tableMessages(w *tabwriter.Writer, messages []messageView) {
	fmt.Fprintln(w, "ID\tCLASS\tATTEMPTS\tAGE\tSIZE\tBODY")
	for _, m := range messages {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\n", printableLine(m.ID), m.Class, m.Attempts, age(m.Published), sizeText(int64(m.Size)), m.start())
	}
}

func tableDead(w *tabwriter.Writer, letters []messageView) {
	fmt.Fprintln(w, "ID\tCLASS\tATTEMPTS\tAGE\tSIZE\tREASON")
	for _, m := range letters {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\n", printableLine(m.ID), printableLine(m.Class), m.Attempts, age(m.Died), sizeText(int64(m.Size)), printableLine(m.Reason))
	}
}

// page prints all of a dead letter.
func (m *messageView) page(w *tabwriter.Writer) {
	died := "-"
	if m.Died != nil {
		died = fmt.Sprintf("%s (%s ago)", m.Died.UTC().Format(time.RFC3339), age(m.Died))
	}
	fmt.Fprintf(w, "id\t%s\nclass\t%s\nattempts\t%d\ndied\t%s\nreason\t%s\nsize\t%s\n\nheader\n", printableLine(m.ID), printableLine(m.Class), m.Attempts,
		died, printableLine(m.Reason), sizeText(int64(m.Size)))
	for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
		for _, value := range m.Headers[name] {
			fmt.Fprintf(w, "  %s\t%s\n", printableLine(name), printableLine(value))
		}
	}
	fmt.Fprintln(w, "\nbody")
	_ = w.Flush() // a tab of the body is none of the table; print's own Flush tells of errors
	if isText(m.raw) {
		fmt.Println(strings.TrimSuffix(string(m.raw), "\n"))
	} else {
		fmt.Print(hex.Dump(m.raw))
	}
}

// start is the beginning of the body in one line.
func (m *messageView) start() string {
	const most = 40
	text := printableLine(m.Body)
	switch {
	case m.BodyBase64 != "":
		return "(not text)"
	case utf8.RuneCountInString(text) > most:
		return string([]rune(text)[:most]) + "…"
	}
	return text
}

// isText reports whether a terminal can show b.
func isText(b []byte) bool {
	return utf8.Valid(b) && !strings.ContainsFunc(string(b), func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t'
	})
}

// age is how long ago t was, "-" if that is not known.
func age(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return time.Since(*t).Round(time.Second).String()
}

// known returns t, or nil if it is zero: messages of others may not tell.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// sizeText is a size with the largest unit that leaves no more than needed.
func sizeText(n int64) string {
	switch {
	case n >= 10<<20:
		return fmt.Sprintf("%dMiB", n>>20)
	case n >= 10<<10:
		return fmt.Sprintf("%dKiB", n>>10)
	}
	return fmt.Sprintf("%dB", n)
}
