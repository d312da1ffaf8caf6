// Package text owns the rules for text that people type and the service keeps: what PostgreSQL can store, how long
// it may be, what counts as one line, and what only looks like content.
package text

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"housecall/internal/errs"
)

// Reasons for which Rule.Clean refuses a text. They are worded as the message of an errs.Field. A refusal for the
// length names the bounds and is ErrLength to errors.Is.
var (
	ErrNotStorable = errors.New("must be valid UTF-8 without U+0000")
	ErrLength      = errors.New("has the wrong length")
	ErrBlank       = errors.New("must not be blank")
	ErrNotLine     = errors.New("must be a single line without control characters")
	ErrNotName     = errors.New("must have a letter or a digit")
)

// Rule is what one kind of text has to satisfy. The zero value takes everything that can be stored.
type Rule struct {
	// Min and Max bound the length in code points, after trimming. With a Min of 1 or more, text that only looks
	// empty is refused too. A Max of 0 is no bound.
	Min, Max int
	// Line refuses line breaks and other control characters.
	Line bool
	// Name is Line for what stands beside other people's text: it also refuses characters that turn the direction of
	// text (UAX #9), with which a name could rearrange its surroundings, and demands a letter or digit that can be seen.
	Name bool
}

// Clean trims s and checks it. The error is one of this package's, worded for people.
func (r Rule) Clean(s string) (string, error) {
	s = strings.TrimSpace(s)
	if err := r.check(s); err != nil {
		return "", err
	}
	return s, nil
}

// Field is Clean with the error made into the 422 for one field of a request; path as in errs.Field.
func (r Rule) Field(path, s string) (string, error) {
	s, err := r.Clean(s)
	if err != nil {
		return "", errs.InvalidField(path, err.Error())
	}
	return s, nil
}

// check applies the rule to a text as it is.
func (r Rule) check(s string) error {
	switch {
	case !Storable(s):
		return ErrNotStorable
	case r.Max > 0 && Longer(s, r.Max), utf8.RuneCountInString(s) < r.Min:
		return lengthError{r.Min, r.Max}
	case r.Min > 0 && Blank(s):
		return ErrBlank
	case (r.Line || r.Name) && !IsLine(s), r.Name && strings.ContainsFunc(s, turns):
		return ErrNotLine
	case r.Name && !strings.ContainsFunc(s, visible):
		return ErrNotName
	}
	return nil
}

// lengthError is ErrLength with the bounds.
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

// Storable tells whether PostgreSQL accepts s as text: valid UTF-8 without U+0000.
func Storable(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// Longer tells whether s has more than most code points. It counts only when the bytes leave a doubt.
func Longer(s string, most int) bool { return len(s) > most && utf8.RuneCountInString(s) > most }

// Blank tells whether s has nothing to be seen. Joiners and other format characters count as nothing, although they
// are not spaces.
func Blank(s string) bool {
	for _, r := range s {
		if !unicode.IsSpace(r) && !unicode.Is(unicode.Cf, r) {
			return false
		}
	}
	return true
}

// IsLine tells whether s has no line break, neither Unicode's line and paragraph separators, and no other control
// character. A tab is one.
func IsLine(s string) bool { return !strings.ContainsFunc(s, breaks) }

// OneLine makes one line of any text, for places where a line break would begin something else, such as the header
// of an email. Runs of spaces and breaks become one space; what is invisible or turns the direction of text goes.
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

// visible tells whether r is a letter or digit with a shape; some fillers count as letters and have none.
func visible(r rune) bool {
	return (unicode.IsLetter(r) || unicode.IsNumber(r)) && !unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
}
