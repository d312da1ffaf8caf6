package auth

import (
	"crypto/rand"
	"strings"
)

// crockford is the base32 alphabet without I, L, O, U (Douglas Crockford's base 32).
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// Prefixes of public ids. A prefix says what the thing was when it was created; only the role column decides rights.
const (
	PrefixPatient     = "PAT"
	PrefixDoctor      = "DOC"
	PrefixAdmin       = "ADM"
	PrefixAppointment = "APP"
)

// NewPublicID makes prefix + 10 random Crockford base32 characters: 50 bits, too many to try them all; the unique
// constraint catches a collision.
func NewPublicID(prefix string) string {
	var raw [10]byte
	_, _ = rand.Read(raw[:]) // never fails since Go 1.24
	var b strings.Builder
	b.WriteString(prefix)
	for _, c := range raw {
		b.WriteByte(crockford[c&31])
	}
	return b.String()
}

// PrefixFor returns the prefix of a new user's id.
func PrefixFor(r Role) string {
	switch r {
	case Doctor:
		return PrefixDoctor
	case Admin:
		return PrefixAdmin
	default:
		return PrefixPatient
	}
}
