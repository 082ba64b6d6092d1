//go:build e2e

package main

import (
	"debug/elf"
	"debug/macho"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"overtake/gateway/config"
)

// The images' files, and what runs by them, are tested by a module of its own.
func TestE2EPackagesImages(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "test", "-C", "e2e/packages", "-count=1", "-v", "./...")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("go test -C e2e/packages: %v\n%s", err, out)
	}
}

// A release has what it is said to have, and is the same wherever it is built.
func TestE2EPackagesRelease(t *testing.T) {
	out := t.TempDir()
	release := func(dir, out, targets string) {
		t.Helper()
		// Compiling all of it for three targets takes minutes, where nothing is cached.
		cmd := exec.CommandContext(t.Context(), "go", "tool", "-C", dir, "-modfile=tools.mod", "task", "release", "VERSION=v1.2.3", "OUT="+out, "TARGETS="+targets)
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("task release: %v\n%s", err, text)
		}
	}
	release(".", out, "linux/amd64 linux/arm64 darwin/arm64")
	tool(t, "sh", "-c", "cd "+out+" && sha256sum -c SHA256SUMS && test $(wc -l <SHA256SUMS) = 3")

	elsewhere, again := t.TempDir(), t.TempDir()
	tool(t, "sh", "-c", "git ls-files -z --cached --others --exclude-standard --deduplicate | xargs -0 ls -d 2>/dev/null | xargs cp --parents -t "+elsewhere+" && cp -a .git "+elsewhere)
	native := "linux/" + runtime.GOARCH
	archive := "overtake_v1.2.3_linux_" + runtime.GOARCH + ".tar.gz"
	release(elsewhere, again, native)
	if first, second := fileText(t, filepath.Join(out, archive)), fileText(t, filepath.Join(again, archive)); first != second {
		t.Errorf("built in another folder, %s differs", archive)
	}

	for _, name := range []string{"linux_amd64", "linux_arm64", "darwin_arm64"} {
		name = "overtake_v1.2.3_" + name
		tool(t, "tar", "-C", out, "-xzf", filepath.Join(out, name+".tar.gz"))
		var files []string
		entries, err := os.ReadDir(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			files = append(files, e.Name())
		}
		if want := []string{"LICENSE", "README.md", "overtake", "overtake.env", "overtake.service"}; !slices.Equal(files, want) {
			t.Errorf("%s has %q, want %q", name, files, want)
		}
	}
	checkELF(t, filepath.Join(out, "overtake_v1.2.3_linux_amd64", "overtake"), elf.EM_X86_64)
	checkELF(t, filepath.Join(out, "overtake_v1.2.3_linux_arm64", "overtake"), elf.EM_AARCH64)
	darwin, err := macho.Open(filepath.Join(out, "overtake_v1.2.3_darwin_arm64", "overtake"))
	if err != nil {
		t.Fatal(err)
	}
	defer darwin.Close()
	if darwin.Cpu != macho.CpuArm64 {
		t.Errorf("darwin/arm64 is for %v", darwin.Cpu)
	}
	head, _ := tool(t, "git", "rev-parse", "--short=12", "HEAD")
	printed, _ := tool(t, filepath.Join(out, strings.TrimSuffix(archive, ".tar.gz"), "overtake"), "version")
	if want := `^overtake v1\.2\.3 ` + strings.TrimSpace(head) + ` \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ go1\.\S+\n$`; !regexp.MustCompile(want).MatchString(printed) {
		t.Errorf("overtake version printed %q, want %s", printed, want)
	}
}

func fileText(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// checkELF checks that a program is for a machine, and needs no library.
func checkELF(t *testing.T, name string, machine elf.Machine) {
	t.Helper()
	f, err := elf.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Machine != machine {
		t.Errorf("%s is for %v, want %v", name, f.Machine, machine)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("%s is not static: it has %v", name, p.Type)
		}
	}
}

// systemd understands the unit, and finds little that it exposes.
func TestE2EPackagesSystemd(t *testing.T) {
	text := fileText(t, "docs/examples/systemd/overtake.service")
	unit := filepath.Join(t.TempDir(), "overtake.service")
	const installed = "/usr/local/bin/overtake"
	if !strings.Contains(text, "ExecStart="+installed+" ") {
		t.Fatalf("the unit does not start %s", installed)
	}
	// verify wants the program to be there.
	if err := os.WriteFile(unit, []byte(strings.ReplaceAll(text, installed, binary)), 0o644); err != nil {
		t.Fatal(err)
	}
	if stdout, stderr := tool(t, "systemd-analyze", "verify", "--man=no", unit); stdout+stderr != "" {
		t.Errorf("systemd-analyze verify: %s%s", stdout, stderr)
	}
	tool(t, "systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", unit)

	stop, err := time.ParseDuration(regexp.MustCompile(`(?m)^TimeoutStopSec=(\S+)$`).FindStringSubmatch(text)[1])
	if err != nil {
		t.Fatal(err)
	}
	defaults, err := config.Default("http://127.0.0.1:9000")
	if err != nil {
		t.Fatal(err)
	}
	if stop <= defaults.DrainTimeout {
		t.Errorf("systemd kills the gateway after %v, while it may drain for %v", stop, defaults.DrainTimeout)
	}
}

// The service manager hears when the gateway listens, when it reloads and when it
// drains.
func TestE2EPackagesNotify(t *testing.T) {
	app := startApp(t, 1)
	for _, address := range []string{filepath.Join(t.TempDir(), "notify"), "@overtake-e2e-" + filepath.Base(t.TempDir())} {
		manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer manager.Close()
		hears := func(want string) {
			t.Helper()
			state := make([]byte, 100)
			if err := manager.SetReadDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			n, err := manager.Read(state)
			if err != nil || string(state[:n]) != want {
				t.Fatalf("the manager heard %q, %v; want %q", state[:n], err, want)
			}
		}
		p := startTool(t, []string{"NOTIFY_SOCKET=" + address}, binary, "gateway", "-c",
			writeConfig(t, "upstreams: {app: {servers: [\""+app+"\"]}}\nroutes: [{match: {path: \"/\"}, upstream: app}]\n"))
		hears("READY=1")
		url := regexp.MustCompile(`msg=listening listener=public address=(\S+)`).FindStringSubmatch(p.text())
		if url == nil {
			t.Fatalf("ready before it listens:\n%s", p.text())
		}
		if response, _ := get(t, "http://"+url[1]+"/work?ms=1"); response.StatusCode != 200 {
			t.Errorf("ready, and GET /work is answered with %s", response.Status)
		}
		p.signal(t, syscall.SIGHUP)
		hears("RELOADING=1")
		hears("READY=1")
		p.signal(t, syscall.SIGTERM)
		hears("STOPPING=1")
		if code := p.wait(t); code != exitOK {
			t.Errorf("after SIGTERM it exited with %d, want %d", code, exitOK)
		}
	}
}

// A crash is told apart from a mistake in the file, by what the unit sets: after the one
// systemd starts the gateway again, after the other it does not.
func TestE2EPackagesCrash(t *testing.T) {
	unit := fileText(t, "docs/examples/systemd/overtake.service")
	code := regexp.MustCompile(`(?m)^RestartPreventExitStatus=(\d+)$`).FindStringSubmatch(unit)
	if code == nil || code[1] != strconv.Itoa(exitUsage) {
		t.Fatalf("the unit starts the gateway again after %v, want that with all codes but %d", code, exitUsage)
	}
	var env []string
	for _, setting := range regexp.MustCompile(`(?m)^Environment=(\S+)$`).FindAllStringSubmatch(unit, -1) {
		env = append(env, setting[1])
	}
	p := startTool(t, env, "sh", "-c", `ulimit -c 0; exec "$@"`, "sh", binary,
		"gateway", "--upstream", "http://127.0.0.1:1", "--listen", "127.0.0.1:0", "--admin", "off")
	p.find(t, "msg=listening")
	p.signal(t, syscall.SIGQUIT) // as an unrecovered panic: Go writes the stacks and ends
	<-p.done.Done()
	if status := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGABRT {
		t.Errorf("it ended with %v, want it by SIGABRT", p.cmd.ProcessState)
	}
}
