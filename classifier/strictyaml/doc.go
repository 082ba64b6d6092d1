// Package strictyaml reads YAML files that people write, strictly: what is unknown,
// of another type, without its unit or given twice is a problem, and one run
// reports all of them, each with its place in the file and what to write instead.
//
// It lies below classifier because that is the leaf folder that everything may
// import: the gateway reads its configuration with it and the load generator its
// scenarios, and neither may import the other.
//
// [Decode] walks the file's tree along a Go type and returns a [Source], which
// knows where each value was given. What comes after, defaults and validation, asks
// it ([Source.Given], [SetDefault]) and adds to it ([Source.Problem],
// [Source.Warn]), so that all problems of a file come together.
//
// # Types
//
// Keys are those of struct tags, `yaml:"name"`; a field without one is no part of
// the file. Besides structs, maps with text keys, slices and pointers there are
// text, integers, float64 and bool, [time.Duration] (25ms, 1m30s), [netip.Prefix],
// [Size] (64KiB), [Percent] (0.5%), and each type that is an
// [encoding.TextUnmarshaler] and says with a [Mistake] what is wrong. Messages are
// better where a type is a [Wanter] or a [LongFormer]; a struct that is a [ShortFormer]
// may also be given as a single value. A field of any other type
// is a mistake in the program, and panics.
//
// # Variables
//
// ${NAME} inside a value is replaced by a variable after the file has been parsed,
// so a secret can't change the file's structure. A variable that is not set is a
// problem. $${ stands for a literal ${. Keys are not replaced. Inside { }
// and [ ] a value with a variable needs quotes, as the braces belong to YAML there.
// Problems and [Source.Encode] show such a value as it is written, never what it
// was replaced by.
//
// # YAML
//
// One document of at most 256 KiB. Anchors and aliases work; merge keys, tags
// and keys that are not plain text are refused. A part that is present but
// empty (queues: with nothing below it) is as good as left out.
package strictyaml
