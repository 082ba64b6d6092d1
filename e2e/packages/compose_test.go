package packages

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// loadCompose reads compose.yaml as docker compose does, with all profiles; a key
// that Compose does not know is an error.
func loadCompose(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{repository + "/compose.yaml"},
		cli.WithProfiles([]string{"*"}), cli.WithResolvedPaths(true))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func TestComposeServices(t *testing.T) {
	project := loadCompose(t)
	want := []string{"app", "gateway", "grafana", "jaeger", "loadgen", "nats", "prometheus", "rabbitmq"}
	if got := project.ServiceNames(); !slices.Equal(got, want) {
		t.Fatalf("compose.yaml has the services %q, want %q", got, want)
	}
	if got := project.Services["loadgen"].Profiles; !slices.Equal(got, []string{"load"}) {
		t.Errorf("loadgen is in the profiles %q, want load: it is not for everybody", got)
	}
}

// Every container is confined, and bounded, and reachable from this machine alone.
func TestComposePolicy(t *testing.T) {
	// The volume is root's; without capabilities, root owns nothing else.
	roots := []string{"nats"}
	for name, s := range loadCompose(t).Services {
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || len(s.CapAdd) > 0 || s.Privileged ||
			!slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s: read_only %v, cap_drop %v, cap_add %v, privileged %v, security_opt %v; want it confined",
				name, s.ReadOnly, s.CapDrop, s.CapAdd, s.Privileged, s.SecurityOpt)
		}
		root := s.User == "" || s.User == "root" || strings.HasPrefix(s.User, "0")
		if root != slices.Contains(roots, name) {
			t.Errorf("%s runs as %q", name, s.User)
		}
		if s.MemLimit <= 0 || s.CPUS <= 0 {
			t.Errorf("%s: mem_limit %d, cpus %v; want bounds", name, s.MemLimit, s.CPUS)
		}
		if s.Restart == "" || len(s.Networks) == 0 {
			t.Errorf("%s: restart %q, networks %v; want both", name, s.Restart, s.Networks)
		}
		for _, p := range s.Ports {
			if p.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is published on %q, want 127.0.0.1", name, p.Published, p.HostIP)
			}
		}
		if own := strings.HasPrefix(s.Image, "overtake:"); !own {
			checkExact(t, s.Image)
			if s.HealthCheck == nil || len(s.HealthCheck.Test) == 0 {
				t.Errorf("%s has no health check", name)
			}
		} else if s.HealthCheck != nil {
			t.Errorf("%s has a health check, and nothing in its image to check with", name)
		}
		for _, v := range s.Volumes {
			if v.Type != types.VolumeTypeBind {
				continue
			}
			if _, err := os.Stat(v.Source); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if !v.ReadOnly {
				t.Errorf("%s may write to %s", name, v.Source)
			}
		}
	}
}

// Who depends on the health of another one can find it out and reach it.
func TestComposeDependencies(t *testing.T) {
	project := loadCompose(t)
	for name, s := range project.Services {
		for other, dependency := range s.DependsOn {
			if dependency.Condition == types.ServiceConditionHealthy && project.Services[other].HealthCheck == nil {
				t.Errorf("%s waits for the health of %s, which has no check", name, other)
			}
		}
		for other := range s.DependsOn {
			if !share(s.Networks, project.Services[other].Networks) {
				t.Errorf("%s depends on %s and has no network with it", name, other)
			}
		}
	}
	for _, other := range []string{"app", "rabbitmq", "nats", "jaeger", "prometheus"} {
		if !share(project.Services["gateway"].Networks, project.Services[other].Networks) {
			t.Errorf("the gateway has no network with %s", other)
		}
	}
}

func share(a, b map[string]*types.ServiceNetworkConfig) bool {
	for name := range a {
		if _, both := b[name]; both {
			return true
		}
	}
	return false
}
