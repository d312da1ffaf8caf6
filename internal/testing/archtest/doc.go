// Package archtest tests the rules of the house: which packages may import each other, which files may import which
// library, which calls are restricted to one place, that everything that the papers name exists, and that migrations
// never change.
package archtest
