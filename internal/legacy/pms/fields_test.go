package pms

import (
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWholeNumber(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		s    string
		want int64
	}{{"7", 7}, {" 7 ", 7}, {"7.0", 7}, {"7e0", 7}, {"-7", -7}, {"0", 0}, {"007", 7}, {"9007199254740992", 1 << 53}} {
		got, ok := wholeNumber(tc.s)
		require.True(t, ok, tc.s)
		require.Equal(t, tc.want, got, tc.s)
	}
	for _, s := range []string{"", "x", "7.5", "0x7", "Inf", "NaN", "1e300", "1_0", "7 7", "9223372036854775808"} {
		_, ok := wholeNumber(s)
		require.False(t, ok, s)
	}
	got, ok := wholeNumber(json.Number("7"))
	require.True(t, ok)
	require.EqualValues(t, 7, got)
	for _, v := range []any{nil, true, []any{"7"}, map[string]any{}} {
		_, ok := wholeNumber(v)
		require.False(t, ok)
	}
}

func FuzzWholeNumber(f *testing.F) {
	for _, s := range []string{"7", "7.0", "-1", "1e3", "0x1", "NaN", " 9 ", "9007199254740993"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, ok := wholeNumber(s)
		if !ok {
			require.Zero(t, n)
			return
		}
		exact, known := new(big.Rat).SetString(strings.TrimSpace(s))
		if !known { // an exponent that is too large for big.Rat, of zero
			require.Zero(t, n)
			return
		}
		require.Zero(t, exact.Cmp(new(big.Rat).SetInt64(n)), "%s is not %d", s, n)
	})
}

func TestParseBody_FieldTwice(t *testing.T) {
	t.Parallel()
	_, err := parseBody("application/json", []byte(`{"a":1,"b":2,"a":3}`))
	require.Equal(t, errTwice, err)
	values, err := parseBody("application/json", []byte(`{"a":1,"b":{"a":3}}`))
	require.NoError(t, err)
	require.Len(t, values, 2)
}

func FuzzParseBody(f *testing.F) {
	for _, body := range []string{
		`{"a":1}`, `{"a":"x\u0000"}`, `a=1&b=%00`, `{`, `[]`, `null`, "\xff", `{"a":{"b":[1]}}`, `{"a":1,"a":2}`,
	} {
		f.Add("application/json", []byte(body))
		f.Add("application/x-www-form-urlencoded; charset=utf-8", []byte(body))
	}
	f.Add("text/plain", []byte("x"))
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		values, err := parseBody(kind, body)
		if err != nil {
			require.Contains(t, []error{errBody, errTwice}, err)
			return
		}
		in := &fields{values: values}
		for name := range values {
			in.complaints = nil
			// Whatever is read can be stored, or there is a complaint.
			s := in.text(name)
			require.NotContains(t, s, "\x00")
			in.id(name)
			in.number(name, 15)
			in.date(name)
		}
	})
}
