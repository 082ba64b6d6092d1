// Package keyed keeps values by key, for keys that are few and looked up all the time,
// as what every request counts by.
package keyed

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Values has a value for each key. To find one takes no lock and allocates nothing, but
// for a new key, for which all are copied: it is wrong for keys without a bound, such as
// what clients send. The zero value is empty. Methods are safe for concurrent use.
type Values[K comparable, V any] struct {
	known atomic.Pointer[map[K]V] // replaced, never changed; nil for empty
	mu    sync.Mutex              // of who replaces it
}

// All returns what there is now, not to be changed.
func (v *Values[K, V]) All() map[K]V {
	if known := v.known.Load(); known != nil {
		return *known
	}
	return nil
}

// Of returns the value of key, which create makes if there is none: once, however many
// ask for it first.
func (v *Values[K, V]) Of(key K, create func(K) V) V {
	if value, ok := v.All()[key]; ok {
		return value
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if value, ok := v.All()[key]; ok {
		return value // another one has put it there meanwhile
	}
	known := make(map[K]V, len(v.All())+1)
	maps.Copy(known, v.All())
	known[key] = create(key)
	v.known.Store(&known)
	return known[key]
}

// Keep forgets the keys that keep is not true of. A value that somebody has found before
// is still theirs.
func (v *Values[K, V]) Keep(keep func(K) bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	known := maps.Clone(v.All())
	maps.DeleteFunc(known, func(key K, _ V) bool { return !keep(key) })
	v.known.Store(&known)
}
