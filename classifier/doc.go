// Package classifier gives a request its latency class.
//
// A [Classifier] holds an ordered list of rules. The first rule whose [Match]
// holds decides; when none does, the default class is taken. A class that the
// request already carries, its [Claim], is then weighed against the network it
// came from:
//
//	claim      from a trusted network   from anywhere else
//	none       rules                    rules
//	present    claim                    the less urgent of rules and claim
//
// So a client may always step back, and nobody can push ahead by writing a
// header. At last the [Ceiling] of the request's flow lowers what is above it.
// [Classifier.Classify] and [Classifier.Explain] run the same code, and what
// Explain says is what Classify does.
//
// A [Match] is compiled once into a [Matcher]. Its fields are tested from cheap to
// dear: methods, sources, size, hosts, path, headers, query, content type,
// expression. Everything but the expression is tested without allocating; an
// expression costs about a microsecond and a few small allocations, so put it
// behind a cheaper field where there is one.
//
// Matches in an order are a [List], which routes use as well. It finds the first that
// holds without testing all: with every test that misses, the value it missed on
// rules out all matches that ask for another one there. The comment of block in
// block.go derives that; the fuzz target FuzzList compares it with testing each.
//
// # Patterns
//
// Paths are matched segment by segment and with regard to case:
//
//	/        every path (the catch-all of a list of routes)
//	*        any run of characters inside one segment, the empty one too
//	**       any number of whole segments, none too
//	{a,b}    either text; may contain segments and further braces
//
// so /reports/** is /reports, /reports/ and all below it, while /reports/* is
// one level below and /reports is that path alone.
//
// Values of headers and query parameters:
//
//	text     exactly this text
//	*text*   * stands for any run of characters; headers ignore case here
//	*        present, with any value
//	!        absent
//	~regexp  an RE2 expression found anywhere in the value
//
// A field that is repeated is matched as one value: all lines of a header
// joined with ", ", the first value of a query parameter.
package classifier
