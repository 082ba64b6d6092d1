package main

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// printable returns text with all that a terminal would obey, and what is no character,
// written as Go writes it: \x1b. Names of files and keys may have anything in them.
// Lines stay lines.
func printable(text string) string {
	var b strings.Builder
	for i, r := range text {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)):
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case r == '\n' || unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}

// printableLine is printable for what must be one line.
func printableLine(text string) string { return strings.ReplaceAll(printable(text), "\n", `\n`) }
