package attachment

import (
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// nameMax is the maximum length of a name in bytes, as on most file systems.
const nameMax = 255

// nameless is the name of a file that was uploaded without one.
const nameless = "file"

// safeName turns a client's name for a file into one that no file system, shell, header or screen misinterprets, and
// whose extension fits its type: without folders, control, format and bidirectional characters, and what Windows
// forbids; in Unicode NFC; at most 255 bytes. A safe name stays as it is.
func safeName(given string, k Kind) string {
	name := strings.ToValidUTF8(given, "")
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	name = norm.NFC.String(strings.Map(plainRune, name))
	name = trim(strings.Join(strings.Fields(name), " "))
	stem, extension := split(name, k)
	stem = trim(stem)
	if stem == "" {
		stem = nameless
	}
	if reserved(stem) {
		stem = "_" + stem
	}
	return shorten(stem, nameMax-len(extension)) + extension
}

// plainRune drops invisible characters and those that reorder text, and replaces any kind of space by a space and what
// Windows forbids by _.
func plainRune(r rune) rune {
	switch {
	case unicode.IsSpace(r):
		return ' '
	case strings.ContainsRune(`<>:"|?*`, r):
		return '_'
	case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs, unicode.Zl, unicode.Zp), !unicode.IsGraphic(r):
		return -1
	case r == utf8.RuneError, unicode.Is(unicode.Variation_Selector, r), unicode.Is(
		unicode.Other_Default_Ignorable_Code_Point, r):
		return -1
	}
	return r
}

// trim removes dots and spaces: at the beginning, dots hide a file; at the end, Windows drops both.
func trim(s string) string { return strings.Trim(s, ". ") }

// split separates the extension from a name. If it is not one of the kind's, it stays in the stem, and the extension
// is the kind's usual one.
func split(name string, k Kind) (stem, extension string) {
	extension = path.Ext(name)
	if slices.Contains(k.Extensions, strings.ToLower(extension)) {
		return strings.TrimSuffix(name, extension), strings.ToLower(extension)
	}
	return name, k.Extensions[0]
}

// reserved tells whether Windows would treat a file as a device, whatever its extension.
func reserved(stem string) bool {
	base, _, _ := strings.Cut(strings.ToUpper(stem), ".")
	base = trim(base)
	if slices.Contains([]string{"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}, base) {
		return true
	}
	number, com := strings.CutPrefix(base, "COM")
	if !com {
		number, com = strings.CutPrefix(base, "LPT")
	}
	return com && utf8.RuneCountInString(number) == 1 && strings.ContainsAny(number, "0123456789¹²³")
}

// shorten cuts a stem between characters so that the rest is still safe.
func shorten(stem string, most int) string {
	for len(stem) > most {
		_, size := utf8.DecodeLastRuneInString(stem)
		stem = trim(stem[:len(stem)-size])
	}
	return stem
}

// Disposition returns a Content-Disposition (RFC 6266), with the name in ASCII for old clients and in full (RFC 8187).
func Disposition(kind, name string) string {
	var ascii, encoded strings.Builder
	for _, r := range name {
		if r > '~' || r < ' ' || r == '"' || r == '\\' || r == '%' {
			r = '_'
		}
		ascii.WriteRune(r)
	}
	const hex = "0123456789ABCDEF"
	for i := range len(name) {
		if c := name[i]; isAttrChar(c) {
			encoded.WriteByte(c)
		} else {
			encoded.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return kind + `; filename="` + ascii.String() + `"; filename*=UTF-8''` + encoded.String()
}

// isAttrChar tells whether a character needs no escape in RFC 8187, 3.2.1.
func isAttrChar(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' ||
		strings.IndexByte("!#$&+-.^_`|~", c) >= 0
}
