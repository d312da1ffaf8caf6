package bidi

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// Unicode's own examples, one in seven: all of them take long with the race detector, and differ little from their
// neighbours. go-text/typesetting, which is required anyway, comes with the file.
func TestResolve_unicode(t *testing.T) {
	t.Parallel()
	folder, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}",
		"github.com/go-text/typesetting").Output()
	require.NoError(t, err)
	file, err := os.Open(filepath.Join(strings.TrimSpace(string(folder)), "bidi", "test", "BidiCharacterTest.txt"))
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()
	const each = 7
	n := 0
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		if n++; n%each != 0 {
			continue
		}
		if levels, order, want := example(t, line); levels != want[0] || order != want[1] {
			t.Fatalf("%s: levels %s, order %s", line, levels, order)
		}
	}
	require.Greater(t, n, 90_000)
}

// example returns the levels and the order of a line of the file, and those that it wants.
func example(t *testing.T, line string) (levels, order string, want [2]string) {
	fields := strings.Split(line, ";")
	var text []rune
	for code := range strings.FieldsSeq(fields[0]) {
		r, err := strconv.ParseInt(code, 16, 32)
		require.NoError(t, err)
		text = append(text, rune(r))
	}
	got, base := Resolve(text, map[string]Direction{"0": LeftToRight, "1": RightToLeft, "2": Auto}[fields[1]])
	if strconv.Itoa(int(base)) != fields[2] {
		return "base " + strconv.Itoa(int(base)), "", want
	}
	var shown []string
	var kept []uint8
	var places []int
	for i, l := range strings.Fields(fields[3]) { // x is what X9 removes
		if l == "x" {
			shown = append(shown, l)
			continue
		}
		shown = append(shown, strconv.Itoa(int(got[i])))
		kept, places = append(kept, got[i]), append(places, i)
	}
	var visual []string
	for _, i := range Order(kept) {
		visual = append(visual, strconv.Itoa(places[i]))
	}
	return strings.Join(shown, " "), strings.Join(visual, " "), [2]string{fields[3], fields[4]}
}

// Whatever the text, every character has a level and one place.
func FuzzResolve(f *testing.F) {
	for _, s := range []string{
		"", "abc אבג 12", "\u202e\u2067abc\u05d0\u2069", "א(1[ב)2]", "\u2068\u2068\u2069\u202c", strings.Repeat("\u2067(", 200),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			return
		}
		text := []rune(s)
		for _, d := range []Direction{Auto, LeftToRight, RightToLeft} {
			levels, base := Resolve(text, d)
			require.Len(t, levels, len(text))
			require.LessOrEqual(t, base, uint8(1))
			seen := make([]bool, len(text))
			for _, i := range Order(levels) {
				require.False(t, seen[i])
				seen[i] = true
				require.LessOrEqual(t, levels[i], uint8(maxDepth+1))
			}
		}
	})
}
