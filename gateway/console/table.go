package console

import (
	"maps"
	"sync"
	"sync/atomic"
)

// table has a value of its own for each key, of which there are few, as the
// configuration has it. To find one takes no lock and allocates nothing, but for a new
// key. Its zero value is empty.
type table[K comparable, V any] struct {
	known atomic.Pointer[map[K]*V] // replaced, never changed; nil for empty
	mu    sync.Mutex               // of who replaces it
}

// all returns what there is now, not to be changed.
func (t *table[K, V]) all() map[K]*V {
	if known := t.known.Load(); known != nil {
		return *known
	}
	return nil
}

// of returns the value of key, which begins as the zero value.
func (t *table[K, V]) of(key K) *V {
	if v, ok := t.all()[key]; ok {
		return v
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if v, ok := t.all()[key]; ok {
		return v
	}
	known := make(map[K]*V, len(t.all())+1)
	maps.Copy(known, t.all())
	known[key] = new(V)
	t.known.Store(&known)
	return known[key]
}

// keep forgets the keys that keep is not true of.
func (t *table[K, V]) keep(keep func(K) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	known := maps.Clone(t.all())
	maps.DeleteFunc(known, func(key K, _ *V) bool { return !keep(key) })
	t.known.Store(&known)
}
