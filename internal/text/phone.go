package text

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nyaruka/phonenumbers"
	"golang.org/x/text/unicode/norm"

	"housecall/internal/errs"
)

// MaxPhone is the longest telephone number, in characters.
const MaxPhone = 40

// Phone is a telephone number.
type Phone struct {
	// Typed is the number as somebody wrote it, less what is invisible: spaces around it, and marks of direction, which
	// come along with a copied number.
	Typed string
	// E164 is the number as it can be dialed from everywhere (ITU-T E.164), such as +12125550142, without an extension;
	// "" if that cannot be told.
	E164 string
}

// phoneShape is how people write telephone numbers: digits and the usual separators.
var phoneShape = regexp.MustCompile(`^[+(*#]*[0-9][0-9 ()./*#,;+-]*$`)

// ReadPhone reads a telephone number as people write it, with any spaces and dashes and digits of any script. region
// is the country (ISO 3166-1, two letters) of a number without a country's code; "" is none. ok is false for what
// does not look like a number at all; whether a number exists makes no difference.
func ReadPhone(s, region string) (p Phone, ok bool) {
	if !Storable(s) {
		return Phone{}, false
	}
	p.Typed = strings.TrimSpace(strings.Map(seen, s))
	if Longer(p.Typed, MaxPhone) {
		return Phone{}, false
	}
	plain := plainPhone(p.Typed)
	if region == "" {
		region = phonenumbers.UNKNOWN_REGION
	}
	n, err := phonenumbers.Parse(plain, region)
	if err == nil && phonenumbers.IsValidNumber(n) {
		p.E164 = phonenumbers.Format(n, phonenumbers.E164)
	}
	if p.E164 == "" && !phoneShape.MatchString(plain) {
		return Phone{}, false
	}
	return p, true
}

// PhoneField is ReadPhone for one field of a request, with path as in errs.Field; "" is no number.
func PhoneField(path, s, region string) (Phone, *errs.Field) {
	p, ok := ReadPhone(s, region)
	if ok || Storable(s) && Blank(s) {
		return p, nil
	}
	return p, &errs.Field{Path: path, Message: "must be a telephone number of at most 40 characters"}
}

// PhoneDigits returns the digits of a telephone number, in ASCII.
func PhoneDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, plainPhone(s))
}

// IsPhoneRegion reports whether telephone numbers of a country are known, by its code in capitals (ISO 3166-1).
func IsPhoneRegion(code string) bool { return phonenumbers.GetSupportedRegions()[code] }

// plainPhone writes a telephone number with ASCII's digits and separators.
func plainPhone(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if d, ok := digit(r); ok {
			return '0' + d
		}
		switch {
		case unicode.Is(unicode.Pd, r), r == '\u2212': // dashes, and the minus sign
			return '-'
		case r == '·', r == '•', r == '‧':
			return '.'
		}
		return r
	}, norm.NFKC.String(strings.Map(seen, s))))
}

// seen is for strings.Map: it drops what is invisible, and makes a usual space of every kind of space.
func seen(r rune) rune {
	switch {
	case r < utf8.RuneSelf && r >= ' ':
		return r
	case invisible(r):
		return -1
	case unicode.Is(unicode.Zs, r):
		return ' '
	}
	return r
}
