// Package archtest holds the rules of who may import what as a test: which package may import which other one of
// this module, which file may import which library, and which calls are kept to one place.
package archtest
