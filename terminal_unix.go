//go:build unix

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// terminalSize is how many columns and rows the terminal has that f is, zeros if
// it is none.
func terminalSize(f *os.File) (columns, rows int) {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0
	}
	return int(size.Col), int(size.Row)
}

// terminalWidth is how many columns the terminal has that f is, 0 if it is none.
func terminalWidth(f *os.File) int {
	columns, _ := terminalSize(f)
	return columns
}
