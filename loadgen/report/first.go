package report

import "strings"

// firstFailures says what the first failure of each kind was, in whichever run, where the
// kind does not tell.
func firstFailures(groups []group) []string {
	var lines []string
	for _, g := range groups {
		told := make(map[string]bool)
		for _, run := range g.runs {
			for _, c := range run.Classes {
				of := strings.TrimPrefix(g.condition+": "+c.Label(), ": ")
				for _, kind := range sortedKeys(c.Failed) {
					what := of + " failed: the first " + kind + ": "
					if reason := c.FirstFailures[kind]; reason != "" && !told[what] {
						told[what] = true
						lines = append(lines, what+reason)
					}
				}
			}
		}
	}
	return lines
}
