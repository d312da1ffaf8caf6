package text_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"housecall/internal/errs"
	"housecall/internal/text"
)

func TestRule_Clean(t *testing.T) {
	t.Parallel()
	name := text.Rule{Min: 1, Max: 10, Name: true}
	for what, c := range map[string]struct {
		rule     text.Rule
		in, want string
		err      error
	}{
		"trims":                     {text.Rule{Max: 3}, " \tabc\n", "abc", nil},
		"nothing":                   {text.Rule{Max: 3}, "  ", "", nil},
		"counts code points":        {text.Rule{Max: 3}, "äöü", "äöü", nil},
		"one too many":              {text.Rule{Max: 3}, "äöüß", "", text.ErrLength},
		"no bound":                  {text.Rule{}, strings.Repeat("x", 9999), strings.Repeat("x", 9999), nil},
		"too short":                 {text.Rule{Min: 3}, "ab ", "", text.ErrLength},
		"must be there":             {text.Rule{Min: 1}, " ", "", text.ErrLength},
		"only looks like something": {text.Rule{Min: 1}, "\u200d\u2060", "", text.ErrBlank},
		"U+0000":                    {text.Rule{}, "a\x00b", "", text.ErrNotStorable},
		"not UTF-8":                 {text.Rule{Max: 1}, "\xff", "", text.ErrNotStorable},
		"a surrogate":               {text.Rule{}, "\xed\xa0\x80", "", text.ErrNotStorable},
		"lines where lines belong":  {text.Rule{}, "a\nb\tc", "a\nb\tc", nil},
		"a line break":              {text.Rule{Line: true}, "a\nb", "", text.ErrNotLine},
		"a carriage return":         {text.Rule{Line: true}, "a\rb", "", text.ErrNotLine},
		"a next line":               {text.Rule{Line: true}, "a\u0085b", "", text.ErrNotLine},
		"a line separator":          {text.Rule{Line: true}, "a\u2028b", "", text.ErrNotLine},
		"a paragraph separator":     {text.Rule{Line: true}, "a\u2029b", "", text.ErrNotLine},
		"an escape":                 {text.Rule{Line: true}, "a\x1b[31m", "", text.ErrNotLine},
		"direction in a line":       {text.Rule{Line: true}, "a\u200eb", "a\u200eb", nil},
		"a name":                    {name, " Ann ", "Ann", nil},
		"a name with a joiner":      {name, "क्\u200dष", "क्\u200dष", nil},
		"a joiner without effect":   {name, "A\u200dn\u200cn\u200d", "Ann", nil},
		"a half-space":              {name, "علی\u200cرضا", "علی\u200cرضا", nil},
		"a joiner at the end":       {name, "علی\u200c", "علی", nil},
		"a variant":                 {name, "葛\U000e0100城", "葛\U000e0100城", nil},
		"a decomposed name":         {name, "Zoe\u0308", "Zoë", nil},
		"counted when composed":     {name, strings.Repeat("e\u0308", 10), strings.Repeat("ë", 10), nil},
		"a name that turns":         {name, "\u2068\u202eAnn\u202c\u2069", "Ann", nil},
		"a name with marks":         {name, "\ufeffA\u200bn\u00adn\u2060", "Ann", nil},
		"a copied space":            {name, "Ann\u00a0B\u00a0", "Ann B", nil},
		"a wide space":              {name, "山田　太郎", "山田　太郎", nil},
		"a name of marks":           {name, "\u200b\u202e", "", text.ErrLength},
		"a name of two lines":       {name, "Ann\nBo", "", text.ErrNotLine},
		"a name of dots":            {name, "...", "", text.ErrNotName},
		"a name of tatweel":         {name, "\u0640\u0640", "", text.ErrNotName},
		"a name of fillers":         {name, "\u3164\u115f", "", text.ErrNotName},
		"no name":                   {name, "", "", text.ErrLength},
		"a long name":               {name, "Ann Ann Ann", "", text.ErrLength},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			got, err := c.rule.Clean(c.in)
			require.ErrorIs(t, err, c.err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestRule_Field(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule     text.Rule
		in, want string
	}{
		{text.Rule{Max: 2}, "abc", "must have at most 2 characters"},
		{text.Rule{Min: 4}, "abc", "must have at least 4 characters"},
		{text.Rule{Min: 1, Max: 2}, "abc", "must have 1 to 2 characters"},
		{text.Rule{}, "\x00", "must be valid UTF-8 without U+0000"},
	} {
		_, err := c.rule.Field("body.note", c.in)
		var e *errs.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, errs.Invalid, e.Kind)
		require.Equal(t, []errs.Field{{Path: "body.note", Message: c.want}}, e.Fields)
	}
	got, err := text.Rule{Max: 2}.Field("body.note", " ab ")
	require.NoError(t, err)
	require.Equal(t, "ab", got)
}

func TestBlank(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", " ", "\n\t", "\u200b", "\u2060\u00a0\ufeff", "\u00ad"} {
		require.True(t, text.Blank(s), "%q", s)
	}
	for _, s := range []string{"a", " . ", "\u200d.", "👍"} {
		require.False(t, text.Blank(s), "%q", s)
	}
}

func TestOneLine(t *testing.T) {
	t.Parallel()
	require.Equal(t, "Ann Bcc: x", text.OneLine("  Ann\r\n\u2028Bcc:\tx\x00\u202e\xff "))
}

func FuzzRule(f *testing.F) {
	for _, s := range []string{
		"", " a ", "a\x00", "\xff", "a\u2028b", "\u202eAnn", "\u200d", "äöü", "\u3164", "ی\u200c\u200dn", "a\u0308",
	} {
		f.Add(s, 0, 3, false, false)
		f.Add(s, 1, 100, true, true)
	}
	f.Fuzz(func(t *testing.T, s string, least, most int, line, name bool) {
		r := text.Rule{Min: least, Max: most, Line: line, Name: name}
		got, err := r.Clean(s)
		flat := text.OneLine(s)
		require.True(t, text.IsLine(flat) && utf8.ValidString(flat) && flat == text.OneLine(flat), "%q", flat)
		if err != nil {
			require.Empty(t, got)
			require.NotEmpty(t, err.Error())
			return
		}
		if !name {
			require.Equal(t, strings.TrimSpace(s), got)
		}
		require.True(t, utf8.ValidString(got) && !strings.ContainsRune(got, 0))
		n := utf8.RuneCountInString(got)
		require.True(t, n >= least && (most <= 0 || n <= most))
		require.False(t, least > 0 && text.Blank(got))
		if line || name {
			require.False(t, strings.ContainsFunc(got, unicode.IsControl))
		}
		if name {
			require.Equal(t, text.Fold(s), text.Fold(got), "only what is invisible is dropped")
		}
		again, err := r.Clean(got)
		require.NoError(t, err)
		require.Equal(t, got, again, "what is clean stays as it is")
	})
}
