package text

import "regexp"

// MaxPhone is the longest telephone number, in characters.
const MaxPhone = 40

var phoneShape = regexp.MustCompile(`^[+0-9][0-9 ()./-]*$`)

// IsPhone reports whether s looks like a telephone number as people write it: a plus or a digit first, then digits
// and the usual separators, at most MaxPhone characters in all. It does not check whether the number exists.
func IsPhone(s string) bool { return len(s) <= MaxPhone && phoneShape.MatchString(s) }
