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
// What a file may look like, and what ${NAME} in it stands for, is said by package
// [overtake/classifier/strictyaml], which decodes it. [Config.Redacted] shows such
// a value as it is written.
package config
