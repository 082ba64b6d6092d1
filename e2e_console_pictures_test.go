//go:build e2e

package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// pictureScenario is a quarter of an hour of people who look at pages, and of reports
// that are now and then more than the app can do.
func pictureScenario() string {
	var phases strings.Builder
	for i := range 10 {
		fmt.Fprintf(&phases, "  - {name: rush-%d, duration: 100s}\n  - {name: calm-%[1]d, duration: 80s, rates: {reports: 0.25x}}\n", i)
	}
	return "name: pictures\nphases:\n" + phases.String() + `
classes:
  - {name: pages, class: interactive, rate: 55/s, path: /work, query: {for: page, ms: "5"}}
  - {name: lists, class: standard, rate: 20/s, path: /work, query: {for: list, ms: "30"}}
  - {name: reports, class: batch, rate: 330/s, path: /work, query: {for: report, ms: "50"}}
  - {name: jobs, class: batch, rate: 10/s, method: POST, path: /jobs/export, query: {ms: "200"}}
`
}

// The pictures of docs/console.md are of a gateway at work. With -rewrite, they are
// taken anew, when the history is full; otherwise some are left in bin, of a short one.
func TestE2EConsolePictures(t *testing.T) {
	prefix, points := filepath.Join("bin", "console"), 2
	if *rewrite {
		prefix, points = filepath.Join("docs", "console"), 180
	}
	if err := os.MkdirAll(filepath.Dir(prefix), 0o755); err != nil {
		t.Fatal(err)
	}
	b := newBrowser(t)
	g := startGateway(t, fmt.Sprintf(`
upstreams: {app: {servers: [%q, %q], limit: {mode: fixed, max: 6}}}
brokers: {local: {type: nats, embedded: true, dir: %q}}
queues: {jobs: {broker: local, deliver: {upstream: app, path: /work}}}
classes:
  - {name: interactive, objective: 50ms, reserve: 2, max_wait: 5s}
  - {name: standard, objective: 250ms, floor: 10%%}
  - {name: batch, floor: 5%%, max_wait: 2s, max_waiting: 200}
rules:
  - {name: pages, class: interactive, match: {path: /work, query: {for: page}}}
  - {name: reports, class: batch, match: {path: /work, query: {for: report}}}
  - {name: jobs, class: batch, match: {path: "/jobs/**"}}
routes: [{match: {path: "/jobs/**"}, queue: jobs}, {upstream: app}]
`, startApp(t, 6), startApp(t, 6), t.TempDir()))
	scenario := filepath.Join(t.TempDir(), "pictures.yaml")
	write(t, scenario, pictureScenario())
	start(t, "loadgen", "-f", scenario, "--target", g.url, "--out", t.TempDir())
	for again := time.NewTicker(time.Second); len(g.history(t)) < points; {
		<-again.C
	}
	stdout, _ := tool(t, "node", filepath.Join(b.dir, "console-pictures.mjs"), b.chromium, g.admin, prefix)
	var seen struct{ Errors, Requests []string }
	if err := json.Unmarshal([]byte(stdout), &seen); err != nil {
		t.Fatalf("%v: %s", err, stdout)
	}
	if len(seen.Errors)+len(seen.Requests) > 0 {
		t.Errorf("errors %q, requests to others %q", seen.Errors, seen.Requests)
	}
	finishPicture(t, prefix+"-desktop.png", 1280, 1500)
	finishPicture(t, prefix+"-phone.png", 4*540, 1100)
}

// finishPicture checks that a picture is there, and at least so large, and makes its file
// about a third as long: of its colours, only the edges of letters need more than 256.
func finishPicture(t *testing.T, name string, width, height int) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	picture, err := png.Decode(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	bounds := picture.Bounds()
	if bounds.Dx() < width || bounds.Dy() < height {
		t.Errorf("%s is %d by %d, want at least %d by %d", name, bounds.Dx(), bounds.Dy(), width, height)
	}
	few := image.NewPaletted(bounds, mostFrequent(picture, 256))
	index := make(map[color.Color]uint8) // of the nearest in the palette
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			c := picture.At(x, y)
			nearest, ok := index[c]
			if !ok {
				nearest = uint8(few.Palette.Index(c))
				index[c] = nearest
			}
			few.SetColorIndex(x, y, nearest)
		}
	}
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, few); err != nil {
		t.Fatal(err)
	}
	write(t, name, out.String())
}

// mostFrequent returns the colours that most of a picture has.
func mostFrequent(picture image.Image, most int) color.Palette {
	pixels, bounds := make(map[color.Color]int), picture.Bounds()
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			pixels[picture.At(x, y)]++
		}
	}
	colours := slices.SortedFunc(maps.Keys(pixels), func(a, b color.Color) int { return cmp.Compare(pixels[b], pixels[a]) })
	return colours[:min(len(colours), most)]
}
