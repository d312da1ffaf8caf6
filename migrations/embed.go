// Package migrations holds the schema as goose steps, embedded so that one binary is the whole release.
package migrations

import "embed"

// FS holds the *.sql steps.
//
//go:embed *.sql
var FS embed.FS
