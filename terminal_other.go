//go:build !unix

package main

import "os"

// terminalWidth can't tell here whether f is a terminal, and says that it is none.
func terminalWidth(*os.File) int { return 0 }
