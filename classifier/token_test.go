package classifier

import (
	"regexp"
	"testing"
)

func TestIsToken(t *testing.T) {
	want := regexp.MustCompile("^[-!#$%&'*+.^_`|~0-9A-Za-z]+$")
	for c := range 256 {
		for _, s := range []string{string([]byte{byte(c)}), "X-" + string([]byte{byte(c)}), string([]byte{byte(c)}) + "a"} {
			if got := IsToken(s); got != want.MatchString(s) {
				t.Errorf("%q: %v", s, got)
			}
		}
	}
	if IsToken("") {
		t.Error("nothing is a token")
	}
}
