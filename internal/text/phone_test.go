package text_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"housecall/internal/text"
)

func TestReadPhone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ typed, region, want, e164 string }{
		{"(212) 555-0142", "US", "(212) 555-0142", "+12125550142"},
		{"212\u00a0555\u00a00142", "US", "212 555 0142", "+12125550142"},
		{"\u202a+1 212 555 0142\u202c", "", "+1 212 555 0142", "+12125550142"},
		{"\u200e\u2068+49 (0)30 901820\u2069\ufeff", "US", "+49 (0)30 901820", "+4930901820"},
		{"+49\u202f30\u2009901820\n", "", "+49 30 901820", "+4930901820"},
		{"030/901820", "DE", "030/901820", "+4930901820"},
		{"00 49 30 901820", "NP", "00 49 30 901820", "+4930901820"},
		{"06·12·34·56·78", "FR", "06·12·34·56·78", "+33612345678"},
		{"030‑901−820", "DE", "030‑901−820", "+4930901820"},
		{"９８４１００００００", "NP", "９８４１００００００", "+9779841000000"},
		{"٠١٠٠٢٣٤٥٦٧٨", "EG", "٠١٠٠٢٣٤٥٦٧٨", "+201002345678"},
		{"९८४१००००००", "NP", "९८४१००००००", "+9779841000000"},
		{"+1 (212) 555-0142 ext. 7", "", "+1 (212) 555-0142 ext. 7", "+12125550142"},
		{"1-800-FLOWERS", "US", "1-800-FLOWERS", "+18003569377"},
		// Whatever it may be, it is kept.
		{"9841000000", "", "9841000000", ""},
		{"9841000000", "US", "9841000000", ""},
		{"+977 (1) 555-01", "", "+977 (1) 555-01", ""},
		{"1", "US", "1", ""},
		{"030/123.45", "", "030/123.45", ""},
		{"(030) 1", "", "(030) 1", ""},
		{"112", "DE", "112", ""},
		{"*31#030 1", "", "*31#030 1", ""},
		{strings.Repeat("1", text.MaxPhone), "US", strings.Repeat("1", text.MaxPhone), ""},
		{strings.Repeat("१", text.MaxPhone), "NP", strings.Repeat("१", text.MaxPhone), ""},
	} {
		p, ok := text.ReadPhone(c.typed, c.region)
		require.True(t, ok, c.typed)
		require.Equal(t, text.Phone{Typed: c.want, E164: c.e164}, p, c.typed)
	}
	for _, bad := range []string{
		"", " ", "\u202a\u202c", "call me", "1x", "1\n2", "1\x00", "hunter2", "<b>1</b>", "()", "+", "\xff",
		strings.Repeat("1", text.MaxPhone+1),
	} {
		_, ok := text.ReadPhone(bad, "US")
		require.False(t, ok, "%q", bad)
	}
}

func TestPhoneDigits(t *testing.T) {
	t.Parallel()
	require.Equal(t, "2125550142", text.PhoneDigits("\u202a(212)\u00a0555-０१४٢\u202c"))
	require.Empty(t, text.PhoneDigits("call me"))
}

func TestIsPhoneRegion(t *testing.T) {
	t.Parallel()
	require.True(t, text.IsPhoneRegion("NP"))
	for _, bad := range []string{"", "np", "ZZ", "001", "Nepal"} {
		require.False(t, text.IsPhoneRegion(bad), bad)
	}
}

func FuzzReadPhone(f *testing.F) {
	for _, s := range []string{"", "(212) 555-0142", "\u202a+49 30 901820\u202c", "९८४१", "tel:+1;ext=5", "\xff", "1-800-FLOWERS"} {
		f.Add(s, "US")
		f.Add(s, "")
	}
	f.Fuzz(func(t *testing.T, s, region string) {
		p, ok := text.ReadPhone(s, region)
		if !ok {
			require.Zero(t, p)
			return
		}
		require.True(t, utf8.ValidString(p.Typed) && !text.Longer(p.Typed, text.MaxPhone) && text.IsLine(p.Typed))
		require.Regexp(t, `^(\+[0-9]{5,17})?$`, p.E164)
		if p.E164 == "" {
			require.NotEmpty(t, text.PhoneDigits(p.Typed))
		}
		again, ok := text.ReadPhone(p.Typed, region)
		require.True(t, ok)
		require.Equal(t, p, again, "what was read once is read the same")
	})
}
