package charts

import (
	"fmt"
	"reflect"
	"strings"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// kinds are what the chart may make, by apiVersion and kind.
var kinds = map[string]metav1.Object{
	"v1/ConfigMap":                            &corev1.ConfigMap{},
	"v1/Pod":                                  &corev1.Pod{},
	"v1/Service":                              &corev1.Service{},
	"v1/ServiceAccount":                       &corev1.ServiceAccount{},
	"apps/v1/Deployment":                      &appsv1.Deployment{},
	"apps/v1/StatefulSet":                     &appsv1.StatefulSet{},
	"autoscaling/v2/HorizontalPodAutoscaler":  &autoscalingv2.HorizontalPodAutoscaler{},
	"networking.k8s.io/v1/NetworkPolicy":      &networkingv1.NetworkPolicy{},
	"policy/v1/PodDisruptionBudget":           &policyv1.PodDisruptionBudget{},
	"monitoring.coreos.com/v1/ServiceMonitor": &monitoringv1.ServiceMonitor{},
	"monitoring.coreos.com/v1/PrometheusRule": &monitoringv1.PrometheusRule{},
}

// object is one decoded document.
type object struct {
	metav1.Object
	kind string
}

func (o object) String() string { return o.kind + " " + o.GetName() }

// decode reads rendered documents as the API server would, and stricter: unknown
// fields, also such that differ in case alone, and keys that come twice are errors.
func decode(text string) ([]object, error) {
	var objects []object
	for i, document := range strings.Split("\n"+text, "\n---") {
		json, err := yaml.YAMLToJSONStrict([]byte(document + "\n"))
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", i, err)
		}
		if string(json) == "null" {
			continue
		}
		var of metav1.TypeMeta
		if err := kjson.UnmarshalCaseSensitivePreserveInts(json, &of); err != nil {
			return nil, fmt.Errorf("document %d: %w", i, err)
		}
		name := of.APIVersion + "/" + of.Kind
		kind, ok := kinds[name]
		if !ok {
			return nil, fmt.Errorf("document %d: the chart is not known to make a %s", i, name)
		}
		into := reflect.New(reflect.TypeOf(kind).Elem()).Interface()
		strict, err := kjson.UnmarshalStrict(json, into)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if len(strict) > 0 {
			return nil, fmt.Errorf("%s: %v", name, strict)
		}
		objects = append(objects, object{into.(metav1.Object), of.Kind})
	}
	return objects, nil
}

// workload is what makes pods.
type workload struct {
	object
	labels   map[string]string
	spec     corev1.PodSpec
	selector *metav1.LabelSelector
	claims   []corev1.PersistentVolumeClaim
}

// workloads returns what makes pods, a lone pod included.
func workloads(objects []object) (all []workload) {
	for _, o := range objects {
		switch w := o.Object.(type) {
		case *appsv1.Deployment:
			all = append(all, workload{o, w.Spec.Template.Labels, w.Spec.Template.Spec, w.Spec.Selector, nil})
		case *appsv1.StatefulSet:
			all = append(all, workload{o, w.Spec.Template.Labels, w.Spec.Template.Spec, w.Spec.Selector, w.Spec.VolumeClaimTemplates})
		case *corev1.Pod:
			all = append(all, workload{o, w.Labels, w.Spec, nil, nil})
		}
	}
	return all
}

// containers returns all containers of a pod.
func containers(spec corev1.PodSpec) []corev1.Container {
	return append(append([]corev1.Container{}, spec.InitContainers...), spec.Containers...)
}

// find returns the objects of one type.
func find[T metav1.Object](objects []object) (found []T) {
	for _, o := range objects {
		if it, ok := o.Object.(T); ok {
			found = append(found, it)
		}
	}
	return found
}
