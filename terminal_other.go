//go:build !unix

package main

import "os"

// terminalSize can't tell here whether f is a terminal, and says that it is none.
func terminalSize(*os.File) (columns, rows int) { return 0, 0 }

// terminalWidth says the same.
func terminalWidth(*os.File) int { return 0 }
