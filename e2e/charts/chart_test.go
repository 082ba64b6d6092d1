package charts

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// Each file of values lints, renders what Kubernetes would take, keeps the policies,
// and gives the program a file that it takes.
func TestValues(t *testing.T) {
	for name, path := range valueFiles(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := command(t, "lint", "--strict", chart(), "--values", path, "--kube-version", "1.33.0"); err != nil {
				t.Error(err)
			}
			text := render(t, "edge", "--values", path)
			judge(t, text, name == "marks")
			compare(t, name, text)
		})
	}
}

// judge fails t for whatever is wrong with rendered text.
func judge(t *testing.T, text string, marks bool) []object {
	t.Helper()
	objects, err := decode(text)
	if err != nil {
		t.Fatal(err)
	}
	if len(objects) == 0 {
		t.Fatal("nothing is rendered")
	}
	for _, wrong := range append(policies(objects, marks), references(objects)...) {
		t.Error(wrong)
	}
	check(t, objects)
	return objects
}

// check has the program check each configuration file.
func check(t *testing.T, objects []object) {
	t.Helper()
	for _, m := range find[*corev1.ConfigMap](objects) {
		file, ok := m.Data["overtake.yaml"]
		if !ok {
			continue
		}
		relay := strings.HasSuffix(m.Name, "-relay")
		dir := t.TempDir()
		file = mounted(t, objects, m.Name, dir, file)
		path := filepath.Join(dir, "overtake.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		c := exec.CommandContext(t.Context(), overtake, "check", "-c", path)
		c.Env = append(environment(t, objects, m.Name), "HOME="+t.TempDir())
		// A relay's file has no upstreams, so its jobs seem to be known to nobody.
		if out, err := c.CombinedOutput(); err != nil || !relay && strings.Contains(string(out), "warning:") {
			t.Errorf("ConfigMap %s: overtake check: %v\n%s\nof\n%s", m.Name, err, out, file)
		}
	}
}

// files are paths of Secrets in the configuration: the directory and the file.
var files = regexp.MustCompile(`(/etc/overtake-[a-z-]+(?:/[a-z]+)?)/([a-z.]+)`)

// mounted puts a file into dir for each path of a Secret in the configuration, after
// it has seen that the container has the Secret there, and returns the configuration
// with their paths.
func mounted(t *testing.T, objects []object, configMap, dir, file string) string {
	t.Helper()
	return files.ReplaceAllStringFunc(file, func(path string) string {
		at, name := filepath.Dir(path), filepath.Base(path)
		if !slices.ContainsFunc(workloads(objects), func(w workload) bool { return hasSecretAt(w.spec, configMap, at) }) {
			t.Errorf("ConfigMap %s names %s, and the container has no Secret there", configMap, path)
		}
		local := filepath.Join(dir, strings.ReplaceAll(at, "/", "_")+"_"+name)
		content, ok := contents()[filepath.Ext(name)]
		if !ok {
			t.Errorf("no test knows a file like %s", path)
		}
		if err := os.WriteFile(local, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return local
	})
}

// hasSecretAt reports whether the container of a pod that has the ConfigMap has a
// Secret at a path.
func hasSecretAt(spec corev1.PodSpec, configMap, path string) bool {
	volume := func(of func(corev1.Volume) bool) bool { return slices.ContainsFunc(spec.Volumes, of) }
	return volume(func(v corev1.Volume) bool { return v.ConfigMap != nil && v.ConfigMap.Name == configMap }) &&
		slices.ContainsFunc(spec.Containers[0].VolumeMounts, func(m corev1.VolumeMount) bool {
			return m.MountPath == path && volume(func(v corev1.Volume) bool { return v.Name == m.Name && v.Secret != nil })
		})
}

// contents is made once, as keys take time.
var contents = sync.OnceValue(makeFiles)

// secrets are what the Secrets of the tests have.
var secrets = map[string]string{
	"BROKER_TOKEN": "t0ken", "NATS_TOKEN": "t0ken", "RABBITMQ_URL": "amqps://shop:pa%2Fss@rabbitmq:5671/", "OVERTAKE_ADMIN_TOKEN": "0123456789abcdef",
}

// environment returns the variables of the containers that have the ConfigMap.
func environment(t *testing.T, objects []object, configMap string) (env []string) {
	t.Helper()
	for _, w := range workloads(objects) {
		for _, v := range w.spec.Volumes {
			if v.ConfigMap == nil || v.ConfigMap.Name != configMap {
				continue
			}
			for _, e := range w.spec.Containers[0].Env {
				if e.ValueFrom != nil {
					value, ok := secrets[e.Name]
					if !ok {
						t.Errorf("%s: no test knows the secret %s", w, e.Name)
					}
					e.Value = value
				}
				env = append(env, e.Name+"="+e.Value)
			}
		}
	}
	return env
}

// Names stay short enough for whatever Kubernetes puts behind them, and different.
func TestLongNames(t *testing.T) {
	release := strings.Repeat("very-long-", 5) + "abc" // 53, the most that helm takes
	for name, path := range valueFiles(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects := judge(t, render(t, release, "--values", path, "--set", "fullnameOverride=,nameOverride=of-a-name-that-is-long-too"), name == "marks")
			for _, o := range objects {
				if n := len(o.GetName()); o.kind == "StatefulSet" && n > 52 || n > 63 {
					t.Errorf("%s: the name has %d characters", o, n)
				}
			}
		})
	}
}
