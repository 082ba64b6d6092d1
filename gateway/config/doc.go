// Package config is Overtake's configuration: the YAML file, the process
// settings from flags and environment, and the defaults for all that is left
// out.
//
// A configuration is made in four steps, and what each finds wrong is
// collected, so that one run reports every problem:
//
//  1. decode: the file's tree is walked along the types of [Config]. Unknown
//     keys, wrong types, missing units and duplicate keys are problems. The
//     position of every value is kept for the later steps.
//  2. overlay: flags, then environment variables, replace values of the file.
//  3. defaults: what was not given gets its default. A value that was written
//     is never replaced, not even a zero.
//  4. validate: ranges, references between parts, addresses, files, and what
//     this version does not have.
//
// A [Config] that comes out is complete and consistent; nothing later needs to
// ask whether a field was set.
//
// # Variables
//
// ${NAME} inside a value is replaced by the environment variable NAME after
// the file has been parsed, so a secret can't change the file's structure. A
// variable that is not set is a problem. $${ stands for a literal ${. Keys are
// not replaced. Inside { } and [ ] a value with a variable needs quotes, as
// the braces belong to YAML there. Problems and [Config.Redacted] show such a
// value as it is written, never what it was replaced by.
//
// # YAML
//
// One document of at most 256 KiB. Anchors and aliases work; merge keys, tags
// and keys that are not plain text are refused. A part that is present but
// empty (queues: with nothing below it) is as good as left out.
package config
