// Package charts tests charts/overtake: each file of testdata/values is rendered by
// helm, decoded strictly into the types of Kubernetes, held against policies, and
// compared with testdata/golden. What the chart makes of the values must be a file
// that the program takes. No cluster is needed, and none is simulated.
//
// It is a module of its own, so that those types stay out of the program's.
package charts
