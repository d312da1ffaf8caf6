// Package text has the rules for text that people type and the service stores: what PostgreSQL can store, how long it
// may be, what counts as one line, and what only looks like content.
package text

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"housecall/internal/errs"
)

// Reasons why Rule.Clean refuses a text, worded for errs.Field. A refusal because of the length names the bounds;
// errors.Is finds ErrLength in it.
var (
	ErrNotStorable = errors.New("must be valid UTF-8 without U+0000")
	ErrLength      = errors.New("has the wrong length")
	ErrBlank       = errors.New("must not be blank")
	ErrNotLine     = errors.New("must be a single line without control characters")
	ErrNotName     = errors.New("must have a letter or a digit")
)

// Rule is the rule for one kind of text. The zero value accepts everything that can be stored.
type Rule struct {
	// Min and Max bound the length in code points, after trimming. With a Min of 1 or more, text without anything
	// visible is refused too. A Max of 0 means no bound.
	Min, Max int
	// Line refuses line breaks and other control characters.
	Line bool
	// Name is Line for text that is shown next to other text. It is composed (NFC), what is invisible in it or changes the
	// direction of text (UAX #9), which could rearrange the surroundings, is dropped, and it needs a visible letter or
	// digit that makes words: a stroke that only stretches them (tatweel) could never be found.
	Name bool
}

// Clean trims s, tidies a name, and checks it. The error is one of this package's, worded for people.
func (r Rule) Clean(s string) (string, error) {
	s = strings.TrimSpace(s)
	if r.Name && Storable(s) {
		s = tidyName(s)
	}
	if err := r.check(s); err != nil {
		return "", err
	}
	return s, nil
}

// Field is Clean with its error as a 422 for one field of a request; path as in errs.Field.
func (r Rule) Field(path, s string) (string, error) {
	s, err := r.Clean(s)
	if err != nil {
		return "", errs.InvalidField(path, err.Error())
	}
	return s, nil
}

// check applies the rule to a text without trimming it.
func (r Rule) check(s string) error {
	switch {
	case !Storable(s):
		return ErrNotStorable
	case r.Max > 0 && Longer(s, r.Max), utf8.RuneCountInString(s) < r.Min:
		return lengthError{r.Min, r.Max}
	case r.Min > 0 && Blank(s):
		return ErrBlank
	case (r.Line || r.Name) && !IsLine(s):
		return ErrNotLine
	case r.Name && (!strings.ContainsFunc(s, visible) || Fold(s) == ""):
		return ErrNotName
	}
	return nil
}

// lengthError is an ErrLength that names the bounds.
type lengthError struct{ least, most int }

// Error implements error.
func (e lengthError) Error() string {
	switch {
	case e.most == 0:
		return fmt.Sprintf("must have at least %d characters", e.least)
	case e.least == 0:
		return fmt.Sprintf("must have at most %d characters", e.most)
	}
	return fmt.Sprintf("must have %d to %d characters", e.least, e.most)
}

// Is makes every lengthError ErrLength.
func (lengthError) Is(target error) bool { return target == ErrLength }

// Storable reports whether PostgreSQL accepts s as text: valid UTF-8 without U+0000.
func Storable[T string | []byte](s T) bool {
	return utf8.ValidString(string(s)) && strings.IndexByte(string(s), 0) < 0
}

// Longer reports whether s has more than most code points. It counts them only if the number of bytes does not
// decide.
func Longer(s string, most int) bool { return len(s) > most && utf8.RuneCountInString(s) > most }

// Blank reports whether s has nothing visible. Joiners and other format characters are invisible, although they are
// not spaces.
func Blank(s string) bool {
	for _, r := range s {
		if !unicode.IsSpace(r) && !unicode.Is(unicode.Cf, r) {
			return false
		}
	}
	return true
}

// IsLine reports whether s has no line breaks (including Unicode's line and paragraph separators) and no other
// control characters, such as tabs.
func IsLine(s string) bool { return !strings.ContainsFunc(s, breaks) }

// OneLine turns any text into one line, for places where a line break would begin something else, such as email
// headers. Runs of spaces and line breaks become one space; characters that are invisible or change the direction of
// text are removed.
func OneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case breaks(r), turns(r), r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

func breaks(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }

func turns(r rune) bool { return unicode.Is(unicode.Bidi_Control, r) }

// visible reports whether r is a visible letter or digit; some fillers count as letters but are invisible.
func visible(r rune) bool {
	return (unicode.IsLetter(r) || unicode.IsNumber(r)) && !unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
}
