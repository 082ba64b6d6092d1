package classifier

import "math"

// Builtin returns rules for a configuration that has none of its own. They read
// what browsers and crawlers say about their requests (Fetch Metadata, RFC 9218,
// User-Agent), and come from the least urgent to the most urgent, so that a
// prefetched navigation is a prefetch. Every client can write the same headers: where
// that matters, write rules of your own.
//
// They are about the default classes interactive and batch. When classes lacks
// one of the default names, interactive, standard or batch, there are none.
func Builtin(classes Classes) []Rule {
	interactive, ok := classes.Lookup("interactive")
	if !ok {
		return nil
	}
	batch, ok := classes.Lookup("batch")
	if !ok {
		return nil
	}
	if _, ok := classes.Lookup("standard"); !ok {
		return nil
	}
	rule := func(name string, class Class, m Match) Rule {
		return Rule{Name: BuiltinPrefix + name, Class: class, Match: m}
	}
	header := func(name, value string) Match { return Match{Headers: map[string]string{name: value}} }
	rules := []Rule{
		// "prefetch", "prefetch;prerender", "prefetch;anonymous-client-ip".
		rule("prefetch", batch, header("Sec-Purpose", "prefetch*")),
		rule("prefetch-legacy", batch, header("Purpose", "prefetch*")),
		// RFC 9218, section 4.1: urgency 3 is the default, 7 the background.
		rule("low-urgency", batch, header("Priority", `~(^|,)[ \t]*u=[5-7][ \t]*($|[,;])`)),
		// With a maximum, a body of unknown size is not meant: many clients send
		// small ones so.
		rule("big-upload", batch, Match{MinSize: bigUpload, MaxSize: math.MaxInt64}),
	}
	for _, agent := range crawlers {
		rules = append(rules, rule("crawler", batch, header("User-Agent", agent)))
	}
	return append(rules,
		rule("navigation", interactive, header("Sec-Fetch-Mode", "navigate")),
		// Browsers send Sec-Fetch-Mode over HTTPS alone, old ones not at all.
		rule("navigation-legacy", interactive, header("Upgrade-Insecure-Requests", "1")),
		// fetch() and XMLHttpRequest: somebody is likely to look at a spinner.
		rule("fetch", interactive, Match{Headers: map[string]string{"Sec-Fetch-Dest": "empty", "Sec-Fetch-Mode": "cors"}}),
		rule("fetch", interactive, Match{Headers: map[string]string{"Sec-Fetch-Dest": "empty", "Sec-Fetch-Mode": "same-origin"}}),
		rule("fetch-legacy", interactive, header("X-Requested-With", "XMLHttpRequest")),
	)
}

// bigUpload is the size from which a body is a big upload: nobody waits for one
// without having been told to.
const bigUpload = 1 << 20

// crawlers are what robots call themselves: most by their kind, and nearly all say
// where to read about them, as in (+http://www.google.com/bot.html).
var crawlers = []string{"*bot*", "*crawl*", "*spider*", "*slurp*", "*+http*"}
