package charts

import (
	"os"
	"path/filepath"
	"testing"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
)

// How fast the gateways scale is left to Kubernetes, unless the values say it, and they
// can take it back again: by an empty mapping, or by null, as a chart's user and as that
// of a chart which has this one as a dependency.
func TestAutoscalingBehavior(t *testing.T) {
	fast := filepath.Join(t.TempDir(), "fast.yaml")
	if err := os.WriteFile(fast, []byte("autoscaling: {behavior: {scaleDown: {stabilizationWindowSeconds: 30}}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		args []string
		want int32 // seconds; 0 for no behavior
	}{
		{"default", nil, 0},
		{"set", []string{"--values", fast}, 30},
		{"empty", []string{"--set-json", "autoscaling.behavior={}"}, 0},
		{"null", []string{"--set-json", "autoscaling.behavior=null"}, 0},
		{"null on the command line", []string{"--set", "autoscaling.behavior=null"}, 0},
		{"set and taken back", []string{"--values", fast, "--set", "autoscaling.behavior=null"}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			checkBehavior(t, render(t, "edge", append([]string{"--set", "autoscaling.enabled=true"}, test.args...)...), test.want)
		})
	}
	t.Run("a part taken back", func(t *testing.T) {
		t.Parallel()
		objects, err := decode(render(t, "edge", "--set", "autoscaling.enabled=true", "--values", fast, "--set", "autoscaling.behavior.scaleDown=null"))
		if err != nil {
			t.Fatal(err)
		}
		if got := find[*autoscalingv2.HorizontalPodAutoscaler](objects)[0].Spec.Behavior; got != nil && got.ScaleDown != nil {
			t.Errorf("its behavior is %v, want none for scaling down", got)
		}
	})
	t.Run("all of it", func(t *testing.T) {
		t.Parallel()
		want := autoscalingv2.HorizontalPodAutoscalerBehavior{
			ScaleUp: &autoscalingv2.HPAScalingRules{
				StabilizationWindowSeconds: new(int32(0)), SelectPolicy: new(autoscalingv2.DisabledPolicySelect), Tolerance: new(resource.MustParse("0.05")),
			},
			ScaleDown: &autoscalingv2.HPAScalingRules{
				StabilizationWindowSeconds: new(int32(3600)), SelectPolicy: new(autoscalingv2.MinChangePolicySelect), Tolerance: new(resource.MustParse("50m")),
				Policies: []autoscalingv2.HPAScalingPolicy{
					{Type: autoscalingv2.PodsScalingPolicy, Value: 1, PeriodSeconds: 1800}, {Type: autoscalingv2.PercentScalingPolicy, Value: 200, PeriodSeconds: 1},
				},
			},
		}
		objects, err := decode(render(t, "edge", "--set", "autoscaling.enabled=true", "--set-json", `autoscaling.behavior={
			"scaleUp": {"stabilizationWindowSeconds": 0, "selectPolicy": "Disabled", "tolerance": 0.05},
			"scaleDown": {"stabilizationWindowSeconds": 3600, "selectPolicy": "Min", "tolerance": "50m", "policies": [
				{"type": "Pods", "value": 1, "periodSeconds": 1800}, {"type": "Percent", "value": 200, "periodSeconds": 1}]}}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := find[*autoscalingv2.HorizontalPodAutoscaler](objects)[0].Spec.Behavior; !equality.Semantic.DeepEqual(got, &want) {
			t.Errorf("its behavior is %v, want %v", got, &want)
		}
	})
	app := buildApp(t)
	for _, value := range []string{"{}", "null"} {
		t.Run("as a dependency "+value, func(t *testing.T) {
			t.Parallel()
			text, err := command(t, "template", "billing", app, "--kube-version", "1.33.0", "--set", "overtake.gateway.enabled=true,overtake.autoscaling.enabled=true",
				"--set-json", "overtake.autoscaling.behavior="+value)
			if err != nil {
				t.Fatal(err)
			}
			checkBehavior(t, text, 0)
		})
	}
}

// checkBehavior wants the one autoscaler to remove pods after so many seconds, or to say
// nothing of how fast it scales if they are 0.
func checkBehavior(t *testing.T, text string, seconds int32) {
	t.Helper()
	objects, err := decode(text)
	if err != nil {
		t.Fatal(err)
	}
	scalers := find[*autoscalingv2.HorizontalPodAutoscaler](objects)
	if len(scalers) != 1 {
		t.Fatalf("%d autoscalers, want 1", len(scalers))
	}
	switch behavior := scalers[0].Spec.Behavior; {
	case seconds == 0:
		if behavior != nil {
			t.Errorf("its behavior is %v, want none", behavior)
		}
	case behavior == nil || behavior.ScaleDown == nil || behavior.ScaleDown.StabilizationWindowSeconds == nil || *behavior.ScaleDown.StabilizationWindowSeconds != seconds:
		t.Errorf("its behavior is %v, want to scale down after %d s", behavior, seconds)
	}
}
