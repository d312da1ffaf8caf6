package httpd_test

import (
	"encoding/base64"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/errs"
	"housecall/internal/httpd"
)

func TestCursor_RoundTrip(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 1, 2, 3, 456789000, time.UTC)
	cursor := httpd.EncodeCursor("Dr. Ö/+?", int64(1)<<62, at)
	require.Regexp(t, `^[A-Za-z0-9_-]+$`, cursor)
	var name string
	var id int64
	var when time.Time
	require.NoError(t, httpd.DecodeCursor(cursor, &name, &id, &when))
	require.Equal(t, "Dr. Ö/+?", name)
	require.Equal(t, int64(1)<<62, id)
	require.True(t, at.Equal(when))

	require.NoError(t, httpd.DecodeCursor("", &name))
	require.Equal(t, "Dr. Ö/+?", name, "the first page has no key")
}

func TestCursor_RefusesOthers(t *testing.T) {
	t.Parallel()
	raw := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	for name, cursor := range map[string]string{
		"not base64": "?", "not JSON": raw("x"), "an object": raw("{}"), "too few": raw(`["a"]`), "too many": raw(`["a",1,2]`),
		"types": raw(`[1,"a"]`), "null": raw(`[null,1]`), "overflow": raw(`["a",99999999999999999999]`), "fraction": raw(`["a",1.5]`),
		"NUL": raw(`["\u0000",1]`), "not UTF-8": raw("[\"\xff\",1]"), "trailing": raw(`["a",1] `) + "=", "long": raw(`["` + string(make([]byte, 2000)) + `",1]`),
	} {
		var text string
		var number int64
		err := httpd.DecodeCursor(cursor, &text, &number)
		require.Equal(t, errs.Invalid, errs.KindOf(err), name)
		var e *errs.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, "query.cursor", e.Fields[0].Path)
	}
}

func FuzzDecodeCursor(f *testing.F) {
	f.Add(httpd.EncodeCursor("a", 1, time.Unix(0, 0)))
	f.Add("")
	f.Add("W10")
	f.Fuzz(func(t *testing.T, s string) {
		var text string
		var number int64
		var at time.Time
		if err := httpd.DecodeCursor(s, &text, &number, &at); err != nil {
			require.Equal(t, errs.Invalid, errs.KindOf(err))
			return
		}
		if s == "" {
			return
		}
		var text2 string
		var number2 int64
		var at2 time.Time
		require.NotContains(t, text, "\x00")
		require.NoError(t, httpd.DecodeCursor(httpd.EncodeCursor(text, number, at), &text2, &number2, &at2))
		require.Equal(t, text, text2)
		require.Equal(t, number, number2)
		require.True(t, at.Equal(at2))
	})
}
