package qdisc

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"
)

// Where struct __sk_buff has what a socket gave its packets.
const (
	skbMark     = 8
	skbPriority = 32
)

// loadPrograms loads those that filters need, by their place, before anything is
// changed: a kernel that refuses them leaves the device as it was. unload is to be
// called in any case; filters that were made keep theirs.
func loadPrograms(filters []Filter) (programs []*ebpf.Program, unload func(), err error) {
	programs = make([]*ebpf.Program, len(filters))
	for i, f := range filters {
		if f.Option != byDSCP && err == nil {
			programs[i], err = loadProgram(f)
		}
	}
	return programs, func() {
		for _, p := range programs {
			_ = p.Close() // nil is fine
		}
	}, err
}

// loadProgram loads the filter program for a mark or a priority: it answers -1,
// "yes, to the branch that I am for", or 0, "no". Kernels without the filters
// that tc has for this (basic, fw) have this one, and it is the same on all.
func loadProgram(f Filter) (*ebpf.Program, error) {
	offset := int16(skbPriority)
	if f.Option == byMark {
		offset = skbMark
	}
	_ = rlimit.RemoveMemlock() // before Linux 5.11; if it matters, the next step fails
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "overtake", Type: ebpf.SchedCLS, License: "Apache-2.0",
		Instructions: asm.Instructions{
			asm.LoadMem(asm.R1, asm.R1, offset, asm.Word),
			asm.Mov.Imm(asm.R0, -1),
			asm.LoadImm(asm.R2, int64(f.Value), asm.DWord),
			asm.JEq.Reg(asm.R1, asm.R2, "end"),
			asm.Mov.Imm(asm.R0, 0),
			asm.Return().WithSymbol("end"),
		},
	})
	if errors.Is(err, unix.EPERM) {
		return nil, fmt.Errorf("qdisc: a filter by %s needs CAP_BPF or CAP_SYS_ADMIN; run it as root, or give the classes a dscp, which needs neither: %w", f.Option, unix.EPERM)
	}
	if err != nil {
		return nil, fmt.Errorf("qdisc: program of the filter by %s: %w", f.Option, err)
	}
	return program, nil
}
