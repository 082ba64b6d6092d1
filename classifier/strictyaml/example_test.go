package strictyaml_test

import (
	"fmt"
	"time"

	"overtake/classifier/strictyaml"
)

// A file is decoded, completed and checked; what all three find comes together, by
// position.
func Example() {
	const text = `
seed: 7
stages:
- {rate: 100, duration: 30}
- {rtae: 200, duration: 1m}
- {rate: -1}
`
	var scenario struct {
		Seed   uint64 `yaml:"seed"`
		Stages []struct {
			Rate     int           `yaml:"rate"`
			Duration time.Duration `yaml:"duration"`
		} `yaml:"stages"`
	}
	src := strictyaml.Decode("scenario.yaml", []byte(text), &scenario, nil)
	for i := range scenario.Stages {
		stage, path := &scenario.Stages[i], strictyaml.Item("stages", i)
		strictyaml.SetDefault(src, strictyaml.Join(path, "duration"), &stage.Duration, time.Minute)
		if stage.Rate < 0 {
			src.Problem(strictyaml.Join(path, "rate"), "want 0 or more", "%d is negative", stage.Rate)
		}
	}
	fmt.Println(src.Problems())
	// Output:
	// scenario.yaml:4:25: stages[0].duration: "30" has no unit; write 30ms or 30s
	// scenario.yaml:5:4: stages[1].rtae: unknown key; did you mean "rate"?
	// scenario.yaml:6:10: stages[2].rate: -1 is negative; want 0 or more
}
