package qdisc

import (
	"context"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// applier is the role of a process that applies one list of classes and another,
// in turn, until it is killed.
const applier = "applier"

func alternating() []Settings {
	return []Settings{settings(three()), settings([]Class{{Name: "a", DSCP: new(46)}, {Name: "b", DSCP: new(1)}, {Name: "c"}})}
}

func beApplier() int {
	for i := 0; ; i++ {
		if _, err := Apply(context.Background(), near, alternating()[i%2]); err != nil {
			return 1
		}
	}
}

// An apply that is killed in the midst leaves half a tree and no lock: the next
// one builds the whole, and remove takes it away.
func TestApplyAfterKill(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	newLink(t)
	var wholes []Tree
	for _, s := range alternating() {
		whole, err := Plan(near, s.Classes, s.Rate)
		try(t, err)
		wholes = append(wholes, whole)
	}
	half := func() bool {
		tree := mustRead(t, near)
		return tree.Ours() && !tree.same(wholes[0]) && !tree.same(wholes[1])
	}
	for halves := 0; halves < 5; {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), insideNamespace+"="+applier)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		try(t, cmd.Start())
		for !half() {
			continue // whoever started this process gives up on it some time
		}
		try(t, cmd.Process.Kill())
		_ = cmd.Wait()
		if !half() {
			continue // it had come further before the signal did
		}
		halves++
		if halves%2 == 0 {
			_, err := Remove(t.Context(), near)
			try(t, err)
			if q, _ := mustRead(t, near).child(root); q.Kind != "noqueue" {
				t.Errorf("after the removal there is %+v", q)
			}
			continue
		}
		_, err := Apply(t.Context(), near, settings(three()))
		try(t, err)
		checkTree(t, settings(three()))
	}
}
