package tracing

import (
	"strings"
	"unicode/utf8"
	"unsafe"
)

// What a recorded span may hold at most. The rest is cut off: spans wait in
// memory, and much of what they hold comes from clients.
const (
	// MaxText is the bytes of a name, a key, a value or a failure. Longer ones
	// end in "…".
	MaxText = 1024
	// MaxAttributes is the number of attributes, of a span or of an event.
	MaxAttributes = 64
	// MaxEvents is the number of events of a span.
	MaxEvents = 16
)

// limit cuts s to the limits and makes its text valid UTF-8, without which no
// collector takes it nor what is sent with it. It returns its size.
func limit(s *Span) int {
	limitText(&s.Name)
	if len(s.State) > MaxText || !utf8.ValidString(s.State) {
		s.State = "" // a part of it would say something else
	}
	limitText(&s.Failure)
	limitAttributes(&s.Attributes)
	s.Events = s.Events[:min(len(s.Events), MaxEvents)]
	for i := range s.Events {
		limitText(&s.Events[i].Name)
		limitAttributes(&s.Events[i].Attributes)
	}
	return spanSize(s)
}

func limitAttributes(attributes *[]Attribute) {
	*attributes = (*attributes)[:min(len(*attributes), MaxAttributes)]
	for i := range *attributes {
		a := &(*attributes)[i]
		limitText(&a.Key)
		if text, ok := a.Value.(string); ok && (len(text) > MaxText || !utf8.ValidString(text)) {
			limitText(&text)
			a.Value = text
		}
	}
}

func limitText(s *string) {
	text := *s
	if len(text) > MaxText {
		const more = "…"
		end := MaxText - len(more)
		for end > MaxText-len(more)-utf8.UTFMax && !utf8.RuneStart(text[end]) {
			end--
		}
		text = text[:end] + more // a copy: the rest must not stay in memory
	}
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "?")
	}
	*s = text
}

// spanSize estimates the memory that s takes.
func spanSize(s *Span) int {
	size := int(unsafe.Sizeof(*s)) + len(s.Name) + len(s.State) + len(s.Failure) + attributesSize(s.Attributes)
	for i := range s.Events {
		size += int(unsafe.Sizeof(s.Events[i])) + len(s.Events[i].Name) + attributesSize(s.Events[i].Attributes)
	}
	return size
}

func attributesSize(attributes []Attribute) int {
	size := len(attributes) * int(unsafe.Sizeof(Attribute{}))
	for i := range attributes {
		size += len(attributes[i].Key)
		if text, ok := attributes[i].Value.(string); ok {
			size += int(unsafe.Sizeof(text)) + len(text) // an interface points to it
		} else {
			size += 8 // a number or a bool
		}
	}
	return size
}
