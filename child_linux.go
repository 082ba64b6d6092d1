package main

import "syscall"

// endWithParent makes the kernel ask a child to drain when this process ends,
// killed or not.
func endWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }
