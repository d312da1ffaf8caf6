// Package archtest holds the rules of the house as tests: which package may import which other one of this module,
// which file may import which library, which calls are kept to one place, that whatever the papers name exists, and
// that migrations never change.
package archtest
