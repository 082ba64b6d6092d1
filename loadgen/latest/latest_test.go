package latest

import (
	"strconv"
	"testing"
)

func TestOnlyTheLatestAreThere(t *testing.T) {
	m := New[int](3)
	for n := range 10 {
		m.Put(strconv.Itoa(n), n)
		for earlier := range n + 1 {
			got, ok := m.Get(strconv.Itoa(earlier))
			if want := earlier > n-3; ok != want || ok && got != earlier {
				t.Errorf("after %d, %d is %d, %v", n, earlier, got, ok)
			}
		}
	}
	if len(m.values) != 3 || len(m.order) != 3 {
		t.Errorf("%d values, %d keys", len(m.values), len(m.order))
	}
}
