package text

import "regexp"

// MaxPhone bounds a telephone number, in characters.
const MaxPhone = 40

var phoneShape = regexp.MustCompile(`^[+0-9][0-9 ()./-]*$`)

// IsPhone tells whether s has the shape of a telephone number as people write one: a plus or a digit first, then
// digits and the usual separators, at most MaxPhone characters in all. It does not tell whether anyone answers.
func IsPhone(s string) bool { return len(s) <= MaxPhone && phoneShape.MatchString(s) }
