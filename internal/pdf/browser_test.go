package pdf

import (
	"cmp"
	"encoding/json"
	"flag"
	"html"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "ask the browser anew in which order it shows the lines")

const ordersFile = "testdata/browser.jsonl"

// ordered is a line, and the places of its characters from left to right.
type ordered struct {
	Line  string
	Order []int
}

// A browser shows mixed lines in the same order: a number or a bracket at another word could be another dose.
func TestLayout_asABrowser(t *testing.T) {
	t.Parallel()
	lines := mixedLines()
	if *update {
		var data []byte
		for _, line := range askBrowser(t, lines) {
			row, err := json.Marshal(line)
			require.NoError(t, err)
			data = append(append(data, row...), '\n')
		}
		require.NoError(t, os.WriteFile(ordersFile, data, 0o600))
	}
	data, err := os.ReadFile(ordersFile)
	require.NoError(t, err)
	rows := strings.Split(strings.TrimSpace(string(data)), "\n")
	require.Len(t, rows, len(lines), "run it with -update")
	set := newTypesetter(loaded(t, ""))
	for i, row := range rows {
		var want ordered
		require.NoError(t, json.Unmarshal([]byte(row), &want))
		require.Equal(t, want.Line, lines[i], "run it with -update")
		require.Equal(t, want.Order, orderOf(t, set, want.Line), "%q", want.Line)
	}
}

// mixedLines are lines as people write them, and 180 that are put together from their parts.
func mixedLines() []string {
	lines := []string{
		"שלום עולם (abc) 123", "קח 2 כדורים של Paracetamol 500 mg (לא 1000 mg) כל 8 שעות",
		"Take אקמול (500 מ\"ג) 3 times", "אופטלגין 500 מ\"ג, אקמול 1,000 מ\"ג", "מינון: 0.5-1.5 מ\"ל/ק\"ג (מקסימום 40%)",
		"لا تتناول Aspirin 100 mg (مع الطعام) قبل 12/05/2027", "جرعة ١٠٠ ملغ (أو ٢٠٠) كل ٨ ساعات", "السعر: 50% من 120$",
		"abc (שלום) def", "(a) שלום [b] עולם {c}", "שלום [abc (def) 12] 34", "الأنسولين 10 وحدات × 3 = 30",
		"טלפון: 03-1234567, +972 (3) 765-4321", "3 × 500 מ\"ג", "500 מ\"ג × 3 ליום!", "Dr. כהן: 5 mg → 10 mg",
		"١٢٣٤٫٥ ملغ", "א1ב2ג3", "\u200f(5 mg) דבר", "תאריך 2027-03-28 בשעה 08:30–09:00",
	}
	parts := []string{
		"שלום", "אקמול", "כדורים", "מ\"ג", "لا", "دواء", "ملغ", "الطعام", "Aspirin", "mg", "Ibuprofen 400", "500", "0,5", "1.5",
		"10-20", "١٢٣", "3/4", "40%", "$20", "12:30", "(", ")", "[", "]", "(abc)", "(שלום)", "(500 mg)", "(١٠)", "-", "+", "/",
		",", ".", ":", "!", "×", "=", "→", "\u2068קח 2\u2069", "\u200f", "\u200e",
	}
	random := rand.New(rand.NewPCG(1, 2)) // the same lines each time
	for len(lines) < 200 {
		var line []string
		for range 3 + random.IntN(9) {
			line = append(line, parts[random.IntN(len(parts))])
		}
		lines = append(lines, strings.Join(line, []string{"", " ", " "}[random.IntN(3)]))
	}
	return lines
}

// counted tells whether the place of a character is compared: marks are drawn over others, and controls not at all.
func counted(r rune) bool { return !unicode.IsMark(r) && !unicode.Is(unicode.Cf, r) }

// orderOf returns where we put the characters of a line.
func orderOf(t *testing.T, set *typesetter, line string) []int {
	rows := set.rows(line, Style{Size: 1}, 1e9)
	require.Len(t, rows, 1)
	text := []rune(line)
	centers := map[int]float64{}
	for _, p := range rows[0].pieces {
		at := p.x
		for i := 0; i < len(p.glyphs); {
			from, width, n := p.glyphs[i].cluster, 0.0, 0
			for ; i < len(p.glyphs) && p.glyphs[i].cluster == from; i++ {
				width += p.glyphs[i].advance
				n += len(p.glyphs[i].text)
			}
			for k := range n { // a ligature is divided
				place := (float64(k) + 0.5) / float64(n)
				if rightToLeft(p) {
					place = 1 - place
				}
				centers[from+k] = at + width*place
			}
			at += width
		}
	}
	var order []int
	for i, r := range text {
		if counted(r) {
			require.Contains(t, centers, i, "%q lacks character %d", line, i)
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(centers[a], centers[b]) })
	return order
}

func rightToLeft(p piece) bool {
	first, last := p.glyphs[0], p.glyphs[len(p.glyphs)-1]
	return first.cluster > last.cluster ||
		first.cluster == last.cluster && unicode.In(first.text[0], unicode.Hebrew, unicode.Arabic)
}

const testPage = `<!DOCTYPE html><meta charset="utf-8"><style>p{white-space:pre;unicode-bidi:plaintext;font:20px "DejaVu Sans Condensed"}</style>
<body>%LINES%<pre id="out"></pre><script>
const all = [];
for (const p of document.querySelectorAll("p")) {
  const node = p.firstChild, centers = [];
  let place = 0;
  for (let i = 0; i < node.length; place++) {
    const size = node.data.codePointAt(i) > 0xffff ? 2 : 1, range = document.createRange();
    range.setStart(node, i);
    range.setEnd(node, i + size);
    const box = range.getBoundingClientRect();
    if (!/[\p{M}\p{Cf}]/u.test(node.data.substr(i, size))) centers.push([(box.left + box.right) / 2, place]);
    i += size;
  }
  all.push({ Line: node.data, Order: centers.sort((a, b) => a[0] - b[0]).map((c) => c[1]) });
}
document.getElementById("out").textContent = JSON.stringify(all);
</script>`

// askBrowser returns where Chromium puts the characters of lines.
func askBrowser(t *testing.T, lines []string) []ordered {
	var body strings.Builder
	for _, line := range lines {
		body.WriteString(`<p>` + html.EscapeString(line) + "</p>")
	}
	file := filepath.Join(t.TempDir(), "lines.html")
	require.NoError(t, os.WriteFile(file, []byte(strings.ReplaceAll(testPage, "%LINES%", body.String())), 0o600))
	out, err := exec.CommandContext(t.Context(), "chromium", "--headless", "--no-sandbox", "--dump-dom",
		"file://"+file).Output()
	require.NoError(t, err)
	found := regexp.MustCompile(`(?s)<pre id="out">(.*?)</pre>`).FindSubmatch(out)
	require.Len(t, found, 2)
	var said []ordered
	require.NoError(t, json.Unmarshal([]byte(html.UnescapeString(string(found[1]))), &said))
	return said
}

func loaded(t testing.TB, folder string) *Fonts {
	t.Helper()
	f, err := LoadFonts(folder)
	require.NoError(t, err)
	return f
}
