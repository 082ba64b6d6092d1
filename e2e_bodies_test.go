//go:build e2e

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"overtake/loadgen/app"
)

// body returns n bytes that are the same every time and like no others.
func body(n int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{'o', 'v', 'e', 'r', 't', 'a', 'k', 'e'}), n)
}

func digest(r io.Reader) string {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return err.Error()
	}
	return hex.EncodeToString(h.Sum(nil))
}

// received is what the upstream says about a request body.
type received struct {
	Bytes  int64
	Digest string
	Length int64 // Content-Length, -1 for chunked
}

// newBodyServer returns an upstream that makes and digests bodies:
//
//	GET /body?n=BYTES[&chunked=1]    sends a body
//	PUT /digest                      answers with a received
//	GET /zeros?n=BYTES               sends zeros, chunked
//	GET /status?code=CODE            answers without a body
func newBodyServer(t *testing.T) *httptest.Server {
	number := func(r *http.Request, name string) int64 {
		n, _ := strconv.ParseInt(r.FormValue(name), 10, 64)
		return n
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /body", func(w http.ResponseWriter, r *http.Request) {
		n := number(r, "n")
		if r.FormValue("chunked") == "" {
			w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		} else {
			w.(http.Flusher).Flush()
		}
		if r.Method != http.MethodHead {
			_, _ = io.Copy(w, body(n)) // the client checks what came
		}
	})
	mux.HandleFunc("PUT /digest", func(w http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		n, err := io.Copy(h, r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_ = json.NewEncoder(w).Encode(received{n, hex.EncodeToString(h.Sum(nil)), r.ContentLength})
	})
	mux.HandleFunc("GET /zeros", func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		for buf, left := make([]byte, 1<<20), number(r, "n"); left > 0; left -= int64(len(buf)) {
			if _, err := w.Write(buf[:min(left, int64(len(buf)))]); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"one"`)
		w.WriteHeader(int(number(r, "code")))
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// Bodies of all sizes pass unchanged in both directions and in both framings,
// and none of them is held in memory.
func TestE2EBodies(t *testing.T) {
	own := newBodyServer(t)
	g := startGateway(t, fmt.Sprintf(`
upstreams:
  own: {servers: [%q]}
  app: {servers: [%q]}
routes:
  - {match: {path: /work}, upstream: app}
  - {match: {path: /echo}, upstream: app}
  - {match: {path: /}, upstream: own}
`, own.URL, startApp(t, 2)))

	for _, n := range []int64{0, 1, 8 << 10, 8<<10 + 1, 64<<10 - 1, 1 << 20, 64 << 20} {
		want := digest(body(n))
		t.Run(fmt.Sprintf("%d bytes", n), func(t *testing.T) {
			checkDownloads(t, g.url, n, want)
			checkUploads(t, g.url, n, want)
		})
	}
	t.Run("1 GiB", func(t *testing.T) { checkGigabyte(t, g.url) })

	g.checkRSS(t)
	g.stop(t)
}

func checkDownloads(t *testing.T, gateway string, n int64, want string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "body")
	for _, query := range []string{"", "&chunked=1"} {
		stdout, _ := tool(t, "curl", "-sS", "-o", file, "-w", "%{http_code} %{size_download}",
			fmt.Sprintf("%s/body?n=%d%s", gateway, n, query))
		if stdout != fmt.Sprintf("200 %d", n) {
			t.Errorf("download%s: status and size are %s, want 200 %d", query, stdout, n)
		}
		got, err := os.Open(file)
		if err != nil {
			if n == 0 {
				continue // curl makes no file of nothing
			}
			t.Fatal(err)
		}
		if got := digest(got); got != want {
			t.Errorf("download%s: the body has changed", query)
		}
		got.Close()
	}
}

func checkUploads(t *testing.T, gateway string, n int64, want string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "body")
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := io.Copy(file, body(n)); err != nil {
		t.Fatal(err)
	}
	for _, length := range []int64{n, -1} {
		r := upload(t, file, length, gateway+"/digest")
		var got received
		if err := json.Unmarshal([]byte(r.stdout), &got); err != nil {
			t.Errorf("upload of length %d: curl exited with %d: %s%s", length, r.code, r.stdout, r.stderr)
			continue
		}
		if want := (received{n, want, length}); got != want {
			t.Errorf("upload of length %d: the upstream got %+v, want %+v", length, got, want)
		}
	}
}

// upload sends a file with curl; in chunks if length is negative.
func upload(t *testing.T, file *os.File, length int64, args ...string) result {
	t.Helper()
	if length >= 0 {
		return runTool(t, nil, nil, "curl", append([]string{"-sS", "-T", file.Name()}, args...)...)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	return runTool(t, nil, file, "curl", append([]string{"-sS", "-T", "-", "-H", "Transfer-Encoding: chunked"}, args...)...)
}

// checkGigabyte moves 1 GiB four times: the sample app takes and makes it, and
// the other upstream sends it in chunks.
func checkGigabyte(t *testing.T, gateway string) {
	const size = 1 << 30
	for _, path := range []string{"/work?ms=0&bytes=%d", "/zeros?n=%d"} {
		stdout, _ := tool(t, "curl", "-sS", "-o", os.DevNull, "-w", "%{http_code} %{size_download}", gateway+fmt.Sprintf(path, size))
		if want := fmt.Sprintf("200 %d", size); stdout != want {
			t.Errorf("GET %s: status and size are %s, want %s", path, stdout, want)
		}
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "zeros"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.Truncate(size); err != nil { // it takes no room on the disk
		t.Fatal(err)
	}
	for _, length := range []int64{size, -1} {
		r := upload(t, file, length, "-X", "POST", gateway+"/echo")
		var echo app.Echo
		if err := json.Unmarshal([]byte(r.stdout), &echo); err != nil || echo.BodyBytes != size || echo.Method != "POST" {
			t.Errorf("upload of length %d: curl exited with %d, the app got %d bytes: %s", length, r.code, echo.BodyBytes, r.stderr)
		}
		if _, chunked := echo.Headers["Transfer-Encoding"]; chunked != (length < 0) {
			t.Errorf("upload of length %d: the app got the header %v", length, echo.Headers)
		}
	}
}
