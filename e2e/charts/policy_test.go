package charts

import (
	"fmt"
	"regexp"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// exception is what one container may do beyond what all may.
type exception struct {
	root bool
	add  []corev1.Capability
	// grow: it may have the capabilities of its program's file.
	grow bool
	// unprobed says why there are no probes.
	unprobed string
}

// exceptions are all there are, by the container's name. The gateway's needs
// socketMarks.enabled, which the caller says.
var exceptions = map[string]exception{
	"overtake-redirect": {root: true, add: []corev1.Capability{"NET_ADMIN", "NET_RAW"}, unprobed: "it ends"},
	"relay":             {unprobed: "it listens on no port"},
	"requests":          {unprobed: "it ends"},
}

// marked is the exception of a gateway with socketMarks.enabled.
var marked = exception{grow: true, add: []corev1.Capability{"NET_ADMIN"}}

// policies returns what is wrong with the pods, as a sentence each.
func policies(objects []object, marks bool) (wrong []string) {
	for _, w := range workloads(objects) {
		say := func(format string, args ...any) {
			wrong = append(wrong, w.String()+": "+fmt.Sprintf(format, args...))
		}
		podPolicies(w.spec, say)
		for _, c := range containers(w.spec) {
			may := exceptions[c.Name]
			if marks && c.Name == "gateway" {
				may = marked
			}
			saying := func(format string, args ...any) { say("%s: "+format, append([]any{c.Name}, args...)...) }
			securityPolicies(w.spec, c, may, saying)
			containerPolicies(w, c, may, saying)
		}
	}
	return wrong
}

func podPolicies(spec corev1.PodSpec, say func(string, ...any)) {
	if spec.HostNetwork || spec.HostPID || spec.HostIPC {
		say("uses namespaces of the host")
	}
	if spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
		say("mounts a token of its ServiceAccount")
	}
	if spec.EnableServiceLinks == nil || *spec.EnableServiceLinks {
		say("has service links")
	}
	for _, v := range spec.Volumes {
		if v.HostPath != nil {
			say("volume %s is a path of the host", v.Name)
		}
	}
}

func securityPolicies(spec corev1.PodSpec, c corev1.Container, may exception, say func(string, ...any)) {
	pod, own := spec.SecurityContext, c.SecurityContext
	if pod == nil {
		pod = &corev1.PodSecurityContext{}
	}
	if own == nil {
		say("has no securityContext")
		return
	}
	nonRoot, user := own.RunAsNonRoot, own.RunAsUser
	if nonRoot == nil {
		nonRoot = pod.RunAsNonRoot
	}
	if user == nil {
		user = pod.RunAsUser
	}
	if !may.root && (nonRoot == nil || !*nonRoot) {
		say("runAsNonRoot is not true")
	}
	if user == nil || *user == 0 && !may.root {
		say("may run as root")
	}
	if own.Privileged != nil && *own.Privileged {
		say("is privileged")
	}
	if own.AllowPrivilegeEscalation == nil || *own.AllowPrivilegeEscalation != may.grow {
		say("allowPrivilegeEscalation is not %v", may.grow)
	}
	if own.ReadOnlyRootFilesystem == nil || !*own.ReadOnlyRootFilesystem {
		say("its root file system can be written")
	}
	if own.Capabilities == nil || !slices.Equal(own.Capabilities.Drop, []corev1.Capability{"ALL"}) {
		say("does not drop all capabilities")
	} else if !slices.Equal(own.Capabilities.Add, may.add) {
		say("adds capabilities %v, want %v", own.Capabilities.Add, may.add)
	}
	seccomp := own.SeccompProfile
	if seccomp == nil {
		seccomp = pod.SeccompProfile
	}
	if seccomp == nil || seccomp.Type != corev1.SeccompProfileTypeRuntimeDefault {
		say("its seccomp profile is not RuntimeDefault")
	}
}

// pinned is an image with a tag or a digest.
var pinned = regexp.MustCompile(`^[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)*(:[A-Za-z0-9_][A-Za-z0-9_.-]*|@sha256:[0-9a-f]{64})$`)

func containerPolicies(w workload, c corev1.Container, may exception, say func(string, ...any)) {
	if !pinned.MatchString(c.Image) || regexp.MustCompile(`:latest$`).MatchString(c.Image) {
		say("image %q has no tag that stays", c.Image)
	}
	for _, of := range []struct {
		name string
		list corev1.ResourceList
	}{{"requests", c.Resources.Requests}, {"limits", c.Resources.Limits}} {
		for _, resource := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			if q, ok := of.list[resource]; !ok || q.Sign() <= 0 {
				say("resources.%s.%s is not set", of.name, resource)
			}
		}
	}
	for name, request := range c.Resources.Requests {
		if limit := c.Resources.Limits[name]; request.Cmp(limit) > 0 {
			say("requests more %s than its limit", name)
		}
	}
	if may.unprobed == "" && (c.StartupProbe == nil || c.LivenessProbe == nil || c.ReadinessProbe == nil) {
		say("lacks a probe")
	}
	for _, p := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		if p != nil && p.HTTPGet != nil && !hasPort(c, p.HTTPGet.Port.String()) {
			say("a probe asks at port %s, which it has not", p.HTTPGet.Port.String())
		}
	}
	seen := map[string]bool{}
	for _, e := range c.Env {
		if seen[e.Name] {
			say("the variable %s is set twice", e.Name)
		}
		seen[e.Name] = true
	}
	mountPolicies(w, c, say)
}

func mountPolicies(w workload, c corev1.Container, say func(string, ...any)) {
	for _, m := range c.VolumeMounts {
		found := slices.ContainsFunc(w.spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name }) ||
			slices.ContainsFunc(w.claims, func(v corev1.PersistentVolumeClaim) bool { return v.Name == m.Name })
		if !found {
			say("mounts %s, which is no volume", m.Name)
		}
	}
}

func hasPort(c corev1.Container, name string) bool {
	return slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool {
		return p.Name == name || fmt.Sprint(p.ContainerPort) == name
	})
}
