package config

import "strconv"

// This file is how to write what people take for a plain value; see
// [overtake/classifier/strictyaml.LongFormer].

// LongForm names the most that a limit may be.
func (Limit) LongForm(text string) string {
	if _, err := strconv.ParseUint(text, 10, 16); err != nil {
		text = "8"
	}
	return "write {max: " + text + "}"
}

// LongForm names the header.
func (Flow) LongForm(text string) string { return "write {header: " + text + "}" }

// LongForm names the class.
func (Class) LongForm(text string) string { return "write {name: " + text + "}" }

// LongForm names the address.
func (Listener) LongForm(text string) string {
	return "write {address: " + strconv.Quote(text) + "}"
}

// LongForm names the class.
func (Rule) LongForm(text string) string { return "write {class: " + text + "}" }

// LongForm names either end.
func (SizeRange) LongForm(text string) string {
	return "write {min: " + text + "} or {max: " + text + "}"
}

// LongForm names the only server.
func (Upstream) LongForm(text string) string {
	return "write {servers: [" + strconv.Quote(text) + "]}"
}

// LongForm names the type and the address.
func (Broker) LongForm(text string) string {
	return "write {type: nats, url: " + strconv.Quote(text) + "}"
}
