//go:build !linux

package main

import "syscall"

// endWithParent has no means here: a child of a process that was killed runs on.
func endWithParent() *syscall.SysProcAttr { return nil }
