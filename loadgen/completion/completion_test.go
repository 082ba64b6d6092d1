package completion

import (
	"fmt"
	"testing"
	"time"
)

func TestListForgetsTheOldestAndSaySo(t *testing.T) {
	c := NewList(4)
	for i := range 10 {
		c.Add(fmt.Sprint(i), time.Unix(0, int64(i)))
	}
	page := c.Page(3)
	if page.Next != 10 || page.Lost != 3 || len(page.Items) != 4 || page.Items[0].ID != "6" {
		t.Errorf("after 3: %+v", page)
	}
	if page := c.Page(9); page.Next != 10 || page.Lost != 0 || len(page.Items) != 1 || page.Items[0].ID != "9" {
		t.Errorf("one after 9: %+v", page)
	}
	if page := c.Page(1 << 62); page.Next != 10 || page.Lost != 0 || len(page.Items) != 0 {
		t.Errorf("from the future: %+v", page)
	}
}
