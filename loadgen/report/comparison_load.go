package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"overtake/loadgen"
)

// classLoad is what was sent of one class in the runs of a file.
type classLoad struct {
	name  string
	rates string  // such as 100/s; of runs that differ, all of them
	rate  float64 // of the first run
	where string  // method and path, or queue
}

// loadsOf returns the load of each class, to tell scenarios of one name apart.
func loadsOf(r *loadgen.Report) []classLoad {
	names, results := resultsOf(r)
	var loads []classLoad
	for _, name := range names {
		of := results[name]
		loads = append(loads, classLoad{
			name: name, rate: of[0].Rate, where: eachOf(of, whereTo),
			rates: eachOf(of, func(c loadgen.ClassResult) string { return fmt.Sprintf("%.4g/s", c.Rate) }),
		})
	}
	return loads
}

// whereTo is method and path, or the queue that messages go to.
func whereTo(c loadgen.ClassResult) string {
	if c.Method == "" && c.Path == "" {
		return cmp.Or(c.Endpoint, "messages")
	}
	return cmp.Or(c.Method, "GET") + " " + c.Path
}

// loadDifference says in which classes a load is another than the first, and how:
// once for all classes in which it is so in the same way. It is empty if both loads
// are the same.
func loadDifference(first, other []classLoad) string {
	var names []string
	for _, l := range slices.Concat(first, other) {
		if !slices.Contains(names, l.name) {
			names = append(names, l.name)
		}
	}
	both, factors := make([]string, len(names)), make([]string, len(names))
	for i, name := range names {
		both[i], factors[i] = difference(loadNamed(first, name), loadNamed(other, name))
	}
	texts := slices.Clone(both)
	for i, factor := range factors {
		for j := range names {
			// Classes of different rates can have the factor in common.
			if factor != "" && factor == factors[j] && both[i] != both[j] {
				texts[i] = factor
			}
		}
	}
	var parts []string
	for _, r := range fold(names, texts) {
		parts = append(parts, r.text+", in "+someOf(r.of, len(names)))
	}
	return strings.Join(parts, "; ")
}

// loadNamed returns nothing but the name if there is no such class.
func loadNamed(loads []classLoad, name string) classLoad {
	if i := slices.IndexFunc(loads, func(l classLoad) bool { return l.name == name }); i >= 0 {
		return loads[i]
	}
	return classLoad{name: name}
}

// difference says both loads of a class, without what they have in common, and by
// which factor the rate is another, where nothing else is. Each is empty where there
// is nothing to say.
func difference(first, other classLoad) (both, factor string) {
	switch {
	case first == other:
		return "", ""
	case other.rates == "":
		return "nothing, not " + first.String(), ""
	case first.rates == "":
		return other.String() + ", not nothing", ""
	case first.rates == other.rates:
		return other.where + ", not " + first.where, ""
	case first.where != other.where:
		return other.String() + ", not " + first.String(), ""
	case first.rate > 0 && other.rate > 0 && !strings.Contains(first.rates+other.rates, ","):
		factor = fmt.Sprintf("%.3gx the rate", other.rate/first.rate)
	}
	return other.rates + ", not " + first.rates, factor
}

func (l classLoad) String() string { return l.rates + " " + l.where }

// mostListed bounds the names in a sentence.
const mostListed = 5

// someOf lists names of classes of all, or says how many more they are.
func someOf(names []string, all int) string {
	switch n := len(names); {
	case n == all && n > 3:
		return fmt.Sprintf("all %d classes", n)
	case n > mostListed:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:mostListed-1], ", "), n-mostListed+1)
	}
	return listed(names)
}
