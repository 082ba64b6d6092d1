package classifier

// Builtin returns rules for a configuration that has none of its own. They read
// what browsers say about their requests (Fetch Metadata, RFC 9218), and come
// from the least urgent to the most urgent, so that a prefetched navigation is
// a prefetch. Clients other than browsers can write the same headers: where
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
	headers := func(name string, class Class, headers map[string]string) Rule {
		return Rule{Name: "builtin:" + name, Class: class, Match: Match{Headers: headers}}
	}
	return []Rule{
		// "prefetch", "prefetch;prerender", "prefetch;anonymous-client-ip".
		headers("prefetch", batch, map[string]string{"Sec-Purpose": "prefetch*"}),
		headers("prefetch-legacy", batch, map[string]string{"Purpose": "prefetch*"}),
		// RFC 9218, section 4.1: urgency 3 is the default, 7 the background.
		headers("low-urgency", batch, map[string]string{"Priority": `~(^|,)[ \t]*u=[5-7][ \t]*($|[,;])`}),
		headers("navigation", interactive, map[string]string{"Sec-Fetch-Mode": "navigate"}),
		// fetch() and XMLHttpRequest: somebody is likely to look at a spinner.
		headers("fetch", interactive, map[string]string{
			"Sec-Fetch-Dest": "empty",
			"Sec-Fetch-Mode": "~^(cors|same-origin)$",
		}),
	}
}
