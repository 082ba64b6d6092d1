package charts

import (
	"fmt"
	"maps"
	"slices"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
)

// references returns what the objects name and is not there, as a sentence each.
func references(objects []object) (wrong []string) {
	say := func(o fmt.Stringer, format string, args ...any) {
		wrong = append(wrong, o.String()+": "+fmt.Sprintf(format, args...))
	}
	seen := map[string]bool{}
	for _, o := range objects {
		if seen[o.String()] {
			say(o, "is there twice")
		}
		seen[o.String()] = true
		if problems := validation.IsDNS1123Label(o.GetName()); len(problems) > 0 {
			say(o, "name: %v", problems)
		}
		for key, value := range o.GetLabels() {
			if problems := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...); len(problems) > 0 {
				say(o, "label %s: %q: %v", key, value, problems)
			}
		}
		switch it := o.Object.(type) {
		case *corev1.Service:
			serviceReferences(o, it, objects, say)
		case *policyv1.PodDisruptionBudget:
			if len(selected(objects, it.Spec.Selector)) != 1 {
				say(o, "its selector is not for the pods of one workload")
			}
		case *autoscalingv2.HorizontalPodAutoscaler:
			if !seenIn(objects, it.Spec.ScaleTargetRef.Kind, it.Spec.ScaleTargetRef.Name) {
				say(o, "scales %s %s, which is not there", it.Spec.ScaleTargetRef.Kind, it.Spec.ScaleTargetRef.Name)
			}
		case *networkingv1.NetworkPolicy:
			policyReferences(o, it, objects, say)
		case *monitoringv1.ServiceMonitor:
			monitorReferences(o, it, objects, say)
		}
	}
	for _, w := range workloads(objects) {
		workloadReferences(w, objects, say)
	}
	return wrong
}

func seenIn(objects []object, kind, name string) bool {
	return slices.ContainsFunc(objects, func(o object) bool { return o.kind == kind && o.GetName() == name })
}

// selected returns the workloads whose pods a selector is for.
func selected(objects []object, selector *metav1.LabelSelector) (found []workload) {
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return nil
	}
	for _, w := range workloads(objects) {
		if s.Matches(labels.Set(w.labels)) {
			found = append(found, w)
		}
	}
	return found
}

// hasNamedPort reports whether a container of a pod has a port that a Service can lead
// to by its name.
func hasNamedPort(spec corev1.PodSpec, name string) bool {
	return slices.ContainsFunc(spec.Containers, func(c corev1.Container) bool { return hasPort(c, name) })
}

type sayer func(o fmt.Stringer, format string, args ...any)

func serviceReferences(o object, s *corev1.Service, objects []object, say sayer) {
	pods := selected(objects, &metav1.LabelSelector{MatchLabels: s.Spec.Selector})
	if len(s.Spec.Selector) == 0 || len(pods) != 1 {
		say(o, "its selector is for the pods of %d workloads", len(pods))
		return
	}
	for _, p := range s.Spec.Ports {
		if problems := validation.IsValidPortName(p.Name); len(problems) > 0 {
			say(o, "port %s: %v", p.Name, problems)
		}
		if !hasNamedPort(pods[0].spec, p.TargetPort.String()) {
			say(o, "leads to port %s, which %s has not", p.TargetPort.String(), pods[0])
		}
	}
}

func policyReferences(o object, p *networkingv1.NetworkPolicy, objects []object, say sayer) {
	pods := selected(objects, &p.Spec.PodSelector)
	if len(pods) != 1 {
		say(o, "its selector is for the pods of %d workloads", len(pods))
		return
	}
	for _, rule := range p.Spec.Ingress {
		for _, port := range rule.Ports {
			known := port.EndPort != nil || slices.ContainsFunc(containers(pods[0].spec), func(c corev1.Container) bool {
				return port.Port != nil && hasPort(c, port.Port.String())
			})
			if !known {
				say(o, "allows port %v, which %s has not", port.Port, pods[0])
			}
		}
	}
}

func monitorReferences(o object, m *monitoringv1.ServiceMonitor, objects []object, say sayer) {
	selector, err := metav1.LabelSelectorAsSelector(&m.Spec.Selector)
	if err != nil {
		say(o, "%v", err)
		return
	}
	var found []*corev1.Service
	for _, s := range find[*corev1.Service](objects) {
		if selector.Matches(labels.Set(s.Labels)) {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		say(o, "its selector is for %d Services", len(found))
		return
	}
	for _, e := range m.Spec.Endpoints {
		if !slices.ContainsFunc(found[0].Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == e.Port }) {
			say(o, "scrapes port %s, which Service %s has not", e.Port, found[0].Name)
		}
	}
}

func workloadReferences(w workload, objects []object, say sayer) {
	if w.selector != nil {
		if len(w.selector.MatchLabels) == 0 || !containsAll(w.labels, w.selector.MatchLabels) {
			say(w, "its selector is not for its own pods")
		}
		if got := selected(objects, w.selector); len(got) != 1 {
			say(w, "its selector is for the pods of %d workloads", len(got))
		}
	}
	if name := w.spec.ServiceAccountName; name != "default" && !seenIn(objects, "ServiceAccount", name) {
		say(w, "runs as ServiceAccount %q, which is not there", name)
	}
	for _, v := range w.spec.Volumes {
		if v.ConfigMap != nil && !seenIn(objects, "ConfigMap", v.ConfigMap.Name) {
			say(w, "has a volume of ConfigMap %s, which is not there", v.ConfigMap.Name)
		}
		if !slices.ContainsFunc(containers(w.spec), func(c corev1.Container) bool {
			return slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == v.Name })
		}) {
			say(w, "no container mounts its volume %s", v.Name)
		}
	}
	ports := map[string]bool{}
	for _, c := range containers(w.spec) {
		for _, p := range c.Ports {
			if ports[p.Name] || ports[fmt.Sprint(p.ContainerPort)] {
				say(w, "port %s %d is there twice", p.Name, p.ContainerPort)
			}
			ports[p.Name], ports[fmt.Sprint(p.ContainerPort)] = true, true
		}
	}
	if set, ok := w.Object.(*appsv1.StatefulSet); ok {
		found := slices.ContainsFunc(find[*corev1.Service](objects), func(s *corev1.Service) bool {
			return s.Name == set.Spec.ServiceName && s.Spec.ClusterIP == corev1.ClusterIPNone
		})
		if !found {
			say(w, "its headless Service %s is not there", set.Spec.ServiceName)
		}
	}
}

func containsAll(all, part map[string]string) bool {
	for key := range maps.Keys(part) {
		if all[key] != part[key] {
			return false
		}
	}
	return true
}
