package text

import (
	"strings"
	"unicode"

	"golang.org/x/net/idna"
)

// ASCIIEmail returns an email address with its internationalized domain as an A-label (RFC 5890, 2.3.2.1): that is
// what mail is sent to, and every way of writing the domain becomes one. Other addresses, and those whose domain
// cannot be one, are returned as they are.
func ASCIIEmail(s string) string {
	local, domain, found := strings.Cut(s, "@")
	if !found || !strings.ContainsFunc(domain, func(r rune) bool { return r > unicode.MaxASCII }) {
		return s
	}
	label, err := idna.Lookup.ToASCII(domain)
	if err != nil {
		return s
	}
	return local + "@" + label
}
