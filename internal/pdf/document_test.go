package pdf

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// paragraphs are texts in many scripts, in the order of reading.
var paragraphs = []string{
	"Grüße, Ελλάδα, Россия, fi 1,5 mg", "שלום עולם", "مرحبا لا بأس", "नमस्ते, कि", "สวัสดี น้ำ", "中文处方", "ひらがなカタカナ",
}

// moreFonts is a folder with fonts for Han, kana, Thai and Devanagari.
func moreFonts(t testing.TB) string {
	t.Helper()
	if runtime.GOOS == "darwin" {
		t.Skip("Homebrew has no packages of these fonts")
	}
	folder := t.TempDir()
	for _, name := range []string{"DroidSansFallback*.ttf", "Lohit-Devanagari.ttf", "Loma.*tf"} {
		var found []string
		for _, below := range []string{"*", "*/*"} {
			more, err := filepath.Glob(filepath.Join("/usr/share/fonts", below, name))
			require.NoError(t, err)
			found = append(found, more...)
		}
		require.NotEmpty(t, found, "the font %s is not installed, and without it scripts are not tested: run "+
			"`deploy/setup.sh test` (`make test` does)", name)
		require.NoError(t, os.Symlink(found[0], filepath.Join(folder, filepath.Base(found[0]))))
	}
	require.NoError(t, os.WriteFile(filepath.Join(folder, "LICENSE"), []byte("anything"), 0o600))
	return folder
}

// run runs a program on a file, and returns what it says.
func run(t testing.TB, program string, args ...string) string {
	t.Helper()
	found, err := exec.LookPath(program)
	require.NoError(t, err, "%s is not installed, and without it PDFs are not tested: run `deploy/setup.sh test` "+
		"(`make test` does), or install your system's packages qpdf and poppler (poppler-utils)", program)
	out, err := exec.CommandContext(t.Context(), found, args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

// document makes a document of paragraphs, two to a page, and returns the name of its file.
func document(t testing.TB, fonts *Fonts, texts []string) (file string, missing []string) {
	t.Helper()
	d := New(fonts, Info{
		Title: "Títle <&>", Creator: "Test", Language: "en", At: time.Date(2027, 3, 28, 1, 2, 3, 0, time.UTC),
	}, 300, 200)
	d.AddPage()
	section := d.Body.Add(Part)
	heading := section.Add(Heading1)
	d.Draw(heading, 20, 30, d.Layout("Heading", Style{Bold: true, Size: 16}, 260)[0])
	heading.Close()
	for i, text := range texts {
		if i%2 == 1 {
			d.AddPage()
		}
		p := section.Add(Paragraph)
		p.Says(text)
		for _, row := range d.Layout(text, Style{Size: 10}, 260) {
			d.Draw(p, 20, float64(60+40*(i%2)), row)
		}
		p.Close()
		d.Line(20, 280, 190, 0.5)
	}
	section.Close()
	data := d.Finish(func(number, of int) {
		d.Draw(nil, 20, 180, d.Layout(strings.Repeat("I", number)+" of "+strings.Repeat("I", of), Style{Size: 8}, 260)[0])
	})
	file = filepath.Join(t.TempDir(), "document.pdf")
	require.NoError(t, os.WriteFile(file, data, 0o600))
	return file, d.Missing()
}

// Other programs find the file valid, its fonts embedded, its structure complete and its text in the order of reading.
func TestDocument(t *testing.T) {
	t.Parallel()
	file, missing := document(t, loaded(t, moreFonts(t)), paragraphs)
	require.Empty(t, missing)
	require.Contains(t, run(t, "qpdf", "--check", file), "No syntax or stream encoding errors")
	info := run(t, "pdfinfo", file)
	require.Regexp(t, `Title: +Títle <&>\n`, info)
	require.Regexp(t, `Tagged: +yes\n`, info)
	require.Regexp(t, `Pages: +4\n`, info)
	fonts := strings.Split(strings.TrimSpace(run(t, "pdffonts", file)), "\n")[2:]
	require.Len(t, fonts, 5)
	for _, font := range fonts {
		require.Regexp(t, `CID TrueType +Identity-H +yes yes yes`, font)
	}
	controls := strings.NewReplacer("\u202a", "", "\u202b", "", "\u202c", "")
	text := controls.Replace(run(t, "pdftotext", "-enc", "UTF-8", file, "-"))
	for _, want := range paragraphs {
		require.Contains(t, text, want)
	}
	require.Contains(t, text, "III of IIII")
	tree := run(t, "pdfinfo", "-struct-text", file)
	var kinds []string
	for _, found := range regexp.MustCompile(`(?m)^ *(\w+)`).FindAllStringSubmatch(tree, -1) {
		kinds = append(kinds, found[1])
	}
	require.Equal(t, "Document Sect H1"+strings.Repeat(" P", len(paragraphs)), strings.Join(kinds, " "))
	require.Contains(t, tree, `"Grüße, Ελλάδα, Россия, fi 1,5 mg"`)
	require.NotContains(t, tree, "III", "a footer does not belong to the text")
	plain := filepath.Join(t.TempDir(), "plain.pdf")
	run(t, "qpdf", "--qdf", "--object-streams=disable", file, plain)
	data, err := os.ReadFile(plain)
	require.NoError(t, err)
	for _, want := range []string{"/Lang (en)", "/Lang (he)", "/Lang (th)", "/DisplayDocTitle true", "/ActualText"} {
		require.Contains(t, string(data), want)
	}
}

// Without a font, the page shows code points, whoever extracts the text gets the characters, and scripts are named.
func TestDocument_missing(t *testing.T) {
	t.Parallel()
	file, missing := document(t, loaded(t, ""), append(paragraphs, "한국어", "\U0001fae0 Ⓕ"))
	require.Equal(t, []string{
		"Devanagari", "Han", "Hangul", "Hiragana", "Katakana", "Thai", "symbols and emoji",
	}, missing)
	require.Contains(t, run(t, "qpdf", "--check", file), "No syntax or stream encoding errors")
	text := run(t, "pdftotext", "-enc", "UTF-8", file, "-")
	require.Contains(t, text, "中文处方")
	require.Contains(t, text, "\U0001fae0")
	row := newTypesetter(loaded(t, "")).rows("a中", Style{Size: 1}, 1000)[0]
	require.Len(t, row.pieces, 2)
	require.Len(t, row.pieces[1].glyphs, len("<4E2D>"))
	require.Equal(t, '中', row.pieces[1].hidden)
}

func TestLoadFonts(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	require.Empty(t, loaded(t, folder).more)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "a.TTF"), []byte("no font"), 0o600))
	_, err := LoadFonts(folder)
	require.ErrorContains(t, err, "a.TTF is not a font")
	_, err = LoadFonts(filepath.Join(folder, "away"))
	require.Error(t, err)
}
