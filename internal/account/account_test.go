package account

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"

	"housecall/internal/errs"
)

func TestNormalizeEmail(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		in, want string
	}{
		"plain":             {"ann@example.org", "ann@example.org"},
		"upper case":        {"Ann@Example.ORG", "ann@example.org"},
		"spaces around":     {"  ann@example.org\n", "ann@example.org"},
		"plus":              {"ann+clinic@example.org", "ann+clinic@example.org"},
		"punycode":          {"ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example"},
		"IDN":               {"Ann@BÜCHER.example", "ann@xn--bcher-kva.example"},
		"IDN, decomposed":   {"ann@bu\u0308cher.example", "ann@xn--bcher-kva.example"},
		"IDN of Han":        {"ann@例え.テスト", "ann@xn--r8jz45g.xn--zckzah"},
		"IDN that is none":  {"ann@bü cher.example", ""},
		"IDN with a dot":    {"ann@-bücher-.example", ""},
		"empty":             {"", ""},
		"no at":             {"ann", ""},
		"display name":      {"Ann <ann@example.org>", ""},
		"angle brackets":    {"<ann@example.org>", ""},
		"comment":           {"ann@example.org(home)", ""},
		"quoted local part": {`"ann b"@example.org`, ""},
		"two":               {"ann@example.org,bob@example.org", ""},
		"inner space":       {"ann @example.org", ""},
		"header":            {"ann@example.org\r\nBcc:x@example.org", ""},
		"letters of others": {"änn@example.org", ""},
		"dotted capital I":  {"İ@example.org", ""},
		"NUL":               {"ann\x00@example.org", ""},
		"too long":          {strings.Repeat("a", 250) + "@example.org", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := NormalizeEmail(tc.in)
			require.Equal(t, tc.want, got)
			if tc.want == "" {
				require.Equal(t, errs.Invalid, errs.KindOf(err))
			} else {
				require.NoError(t, err)
			}
		})
	}
}

func FuzzNormalizeEmail(f *testing.F) {
	for _, s := range []string{
		"ann@example.org", "A@B", `"x"@y`, "a@[127.0.0.1]", "a@b,c@d", "é@x", "a@é.x", "a@ß.K", "a@b@é", "a@b\x7f", "=?utf-8?q?a?= <a@b>",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := NormalizeEmail(s)
		if err != nil {
			return
		}
		require.Equal(t, strings.ToLower(got), got)
		require.LessOrEqual(t, len(got), EmailMax)
		require.NotContains(t, got, ",")
		again, err := NormalizeEmail(got)
		require.NoError(t, err)
		require.Equal(t, got, again)
	})
}

func TestNormalizeName(t *testing.T) {
	t.Parallel()
	got, err := NormalizeName("  Zoë 李 ")
	require.NoError(t, err)
	require.Equal(t, "Zoë 李", got)
	for _, good := range []string{strings.Repeat("李", NameMax), "O'Neill-Søren", "محمد", "نا\u200cزنین", "अंजलि", "7"} {
		_, err = NormalizeName(good)
		require.NoError(t, err, good)
	}
	// Characters that change the direction of text, including text beside the name, come along when one is copied.
	for _, marked := range []string{
		"Ann\u202e", "\u202aAnn", "A\u202cnn", "Ann\u2066", "Ann\u2069", "Ann\u200e", "Ann\u200f", "Ann\u061c",
	} {
		got, err := NormalizeName(marked)
		require.NoError(t, err, "%q", marked)
		require.Equal(t, "Ann", got, "%q", marked)
	}
	for _, bad := range []string{
		"", "   ", strings.Repeat("x", NameMax+1), "Ann\nBcc: x", "Ann\x00", "Ann\x1b[2J", "\xff\xfe",
		// Nothing visible, or nothing but signs; the Hangul filler counts as a letter.
		"\u200b", "\u200b\u200c\u200d\ufeff", "\u2060", "\u3164", "\u0301", "...", "🙂",
	} {
		_, err := NormalizeName(bad)
		require.Equal(t, errs.Invalid, errs.KindOf(err), "%q", bad)
	}
}

func TestCheckPassword(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		password string
		ok       bool
	}{
		"good":              {"correct horse battery", true},
		"of the demo":       {"housecall-demo-1", true},
		"ten code points":   {"äöüßéèàçñø", true},
		"longest":           {strings.Repeat("abcdefgh", 16), true},
		"nine":              {"ninechars", false},
		"too long":          {strings.Repeat("abcdefgh", 16) + "x", false},
		"the address":       {"Annabella@Example.org", false},
		"its local part":    {"annabella.x", true},
		"the name":          {"ANNABELLA OTHER", false},
		"common":            {"Password123", false},
		"keyboard":          {"qwertyuiop", false},
		"one character":     {"aaaaaaaaaaaa", false},
		"two characters":    {"121212121212", false},
		"NUL":               {"correct\x00horse", false},
		"no text":           {"correct horse \xff", false},
		"spaces around one": {" qwertyuiop ", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := checkPassword("body.password", tc.password, "annabella@example.org", "Annabella Other")
			if tc.ok {
				require.NoError(t, err)
				return
			}
			var e *errs.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, "body.password", e.Fields[0].Path)
			require.NotContains(t, err.Error(), tc.password)
		})
	}
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	require.Equal(t, "192.0.2.7", network("192.0.2.7"))
	require.Equal(t, "::ffff:192.0.2.7", network("::ffff:192.0.2.7"))
	require.Equal(t, network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::9"))
	require.NotEqual(t, network("2001:db8:1:2::1"), network("2001:db8:1:3::1"))
	require.Empty(t, network(""))
}

func TestSuccessors(t *testing.T) {
	t.Parallel()
	old, err := deriveSuccessors([][]byte{[]byte("old")})
	require.NoError(t, err)
	both, err := deriveSuccessors([][]byte{[]byte("new"), []byte("old")})
	require.NoError(t, err)
	require.Equal(t, old.of("token")[0], both.of("token")[1])
	require.NotEqual(t, both.of("token")[0], both.of("token")[1])
	require.NotEqual(t, old.of("token")[0], old.of("other")[0])
	require.Len(t, old.of("token")[0], len(auth.NewLink(time.Time{}).Token))
}
