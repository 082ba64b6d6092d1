package socket

import "testing"

// TestCodePoints compares with the numbers that the IANA has registered.
func TestCodePoints(t *testing.T) {
	registered := map[string]int{
		"LE": 1, "DF": 0, "EF": 46, "VA": 44,
		"CS0": 0, "CS1": 8, "CS2": 16, "CS3": 24, "CS4": 32, "CS5": 40, "CS6": 48, "CS7": 56,
		"AF11": 10, "AF12": 12, "AF13": 14, "AF21": 18, "AF22": 20, "AF23": 22,
		"AF31": 26, "AF32": 28, "AF33": 30, "AF41": 34, "AF42": 36, "AF43": 38,
	}
	for _, name := range CodePoints() {
		code, known := CodePoint(name)
		if want, there := registered[name]; !known || !there || code != want {
			t.Errorf("%s is %d, %v, want %d", name, code, known, want)
		}
		if got := CodePointName(code); got != name && name != "CS0" { // the older name of DF
			t.Errorf("%d is called %s, want %s", code, got, name)
		}
	}
	if len(CodePoints()) != len(registered) {
		t.Errorf("%d names, want %d", len(CodePoints()), len(registered))
	}
	if code, known := CodePoint("AF99"); known {
		t.Errorf("AF99 is %d", code)
	}
	if got := CodePointName(5); got != "5" {
		t.Errorf("5 is called %s", got)
	}
}
