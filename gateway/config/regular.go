package config

import "overtake/classifier/strictyaml"

// maxRead is far more than a certificate with all of its chain, or a list of
// authorities, has.
const maxRead = 16 << 20

// ReadFile reads a file that is read again while requests are served, as
// [strictyaml.ReadFile] does.
func ReadFile(name string) ([]byte, error) { return strictyaml.ReadFile(name, maxRead) }
