// Package latest remembers the latest of things that have no end.
package latest

// Map has the values that were put last. Its memory depends on how many it keeps,
// and not on how many were put. It is not safe for concurrent use.
type Map[V any] struct {
	keep   int
	values map[string]V
	order  []string // ring: the keys in values, the oldest at next
	next   int
}

// New returns an empty map that keeps so many values, which is at least 1.
func New[V any](keep int) *Map[V] {
	return &Map[V]{keep: keep, values: make(map[string]V)}
}

// Put remembers v, and forgets the oldest value if there are too many. A key is put
// once.
func (m *Map[V]) Put(key string, v V) {
	if len(m.order) < m.keep {
		m.order = append(m.order, key)
	} else {
		delete(m.values, m.order[m.next])
		m.order[m.next] = key
		m.next = (m.next + 1) % m.keep
	}
	m.values[key] = v
}

// Get returns the value of key, or false if it is not among the latest.
func (m *Map[V]) Get(key string) (V, bool) {
	v, ok := m.values[key]
	return v, ok
}
