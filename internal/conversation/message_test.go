package conversation

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCheckText(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"a word":                         {"x", nil},
		"4,000 characters of one byte":   {strings.Repeat("x", MaxChars), nil},
		"4,000 characters of four":       {strings.Repeat("🩺", MaxChars), nil},
		"one too many":                   {strings.Repeat("x", MaxChars+1), ErrTooLong},
		"one too many of four bytes":     {strings.Repeat("🩺", MaxChars+1), ErrTooLong},
		"nothing":                        {"", ErrEmpty},
		"spaces and lines":               {" \t\r\n\u00a0\u2003", ErrEmpty},
		"joiners, marks of direction":    {"\u200b\u200d\u2060\ufeff\u202e", ErrEmpty},
		"an emoji made with joiners":     {"👩\u200d⚕️", nil},
		"U+0000":                         {"a\x00b", ErrInvalidText},
		"not UTF-8":                      {"a\xffb", ErrInvalidText},
		"a surrogate":                    {"\xed\xa0\x80", ErrInvalidText},
		"other controls are let through": {"a\x01b", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, CheckText(c.text))
		})
	}
}

func TestRates(t *testing.T) {
	t.Parallel()
	u := newRates(1)
	for range burst {
		require.True(t, u.allow(1))
	}
	require.False(t, u.allow(1))
	require.True(t, u.allow(2))
	for id := range int64(2 * fewBuckets) {
		require.True(t, u.allow(100+id))
	}
	require.Contains(t, u.buckets, int64(1), "an empty bucket is not forgotten")

	quick := newRates(1_000_000)
	for id := range int64(3 * fewBuckets) {
		require.True(t, quick.allow(id))
	}
	require.LessOrEqual(t, len(quick.buckets), fewBuckets+1, "full ones are")
}

func TestSet(t *testing.T) {
	t.Parallel()
	s := NewSet()
	require.Nil(t, s.Take())
	s.Add(1)
	s.Add(2)
	s.Add(1)
	<-s.Wake()
	require.ElementsMatch(t, []int64{1, 2}, s.Take())
	s.AddAfter(3, time.Millisecond)
	<-s.Wake()
	require.Equal(t, []int64{3}, s.Take())
}
