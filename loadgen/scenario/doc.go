// Package scenario reads scenarios of the load generator from YAML files, strictly,
// and ships some that can be asked for by name. The format is in docs/scenarios.md.
package scenario
