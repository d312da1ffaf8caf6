package attachment

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"io"
	"mime"
	"mime/multipart"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"

	"housecall/internal/errs"
)

func TestSafeName(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"photo.png":              "photo.png",
		"PHOTO.PNG":              "PHOTO.png",
		"":                       "file.png",
		"...":                    "file.png",
		" .hidden.png ":          "hidden.png",
		"/etc/passwd":            "passwd.png",
		`C:\Users\x\scan.png`:    "scan.png",
		"a/b\\c.png":             "c.png",
		"evil\u202egnp.exe":      "evilgnp.exe.png",
		"a\u200bb\ufeff.png":     "ab.png",
		"line\r\nbreak.png":      "line break.png",
		"a  \t b.png":            "a b.png",
		`q"u<o>t:e|s?*.png`:      "q_u_o_t_e_s__.png",
		"con.png":                "_con.png",
		"Com1.png":               "_Com1.png",
		"LPT².png":               "_LPT².png",
		"com10.png":              "com10.png",
		"aux.tar.png":            "_aux.tar.png",
		"cafe\u0301.png":         "café.png",
		"über.jpg":               "über.jpg.png",
		"a.png.":                 "a.png",
		"x\xffy.png":             "xy.png",
		".png":                   "png.png",
		"日本語.png":                "日本語.png",
		"trailing .png":          "trailing.png",
		"a. .png":                "a.png",
		strings.Repeat("é", 200): strings.Repeat("é", 125) + ".png",
	} {
		require.Equal(t, want, safeName(given, png), "%q", given)
	}
	require.Equal(t, "notes.md", safeName("notes.MD", text))
	require.Equal(t, "a.jpeg", safeName("a.jpeg", jpeg))
}

func FuzzSafeName(f *testing.F) {
	for _, seed := range []string{
		"a.png", "../a", "con", "a\u202eb", strings.Repeat("ü", 300), "a\x00b", ". .", "e\u0301", "\u1112\u1161",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		for _, k := range []Kind{png, jpeg, text} {
			name := safeName(given, k)
			require.True(t, utf8.ValidString(name))
			require.LessOrEqual(t, len(name), nameMax)
			require.True(t, norm.NFC.IsNormalString(name), "%q", name)
			require.NotContains(t, name, "..png")
			require.False(t, strings.ContainsAny(name, "/\\<>:\"|?*\x00"), "%q", name)
			require.False(t, strings.HasPrefix(name, ".") || strings.HasPrefix(name, " "), "%q", name)
			require.False(t, strings.ContainsFunc(name, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf) }),
				"%q", name)
			stem, extension := split(name, k)
			require.NotEmpty(t, stem)
			require.Contains(t, k.Extensions, extension)
			require.Equal(t, name, safeName(name, k), "a safe name stays")
			kind, parameters, err := mime.ParseMediaType(Disposition("attachment", name))
			require.NoError(t, err)
			require.Equal(t, "attachment", kind)
			require.Equal(t, name, parameters["filename"], "a client reads the same name")
		}
	})
}

func FuzzDisposition(f *testing.F) {
	f.Add(`a"b\c.txt`)
	f.Add("é\r\n%41;=.txt")
	f.Fuzz(func(t *testing.T, name string) {
		header := Disposition("inline", name)
		require.False(t, strings.ContainsFunc(header, func(r rune) bool { return r < ' ' || r > '~' }), "%q", header)
	})
}

func TestSniff(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		"\x89PNG\r\n\x1a\n…": "image/png", "\xff\xd8\xff\xe0": "image/jpeg", "GIF87a": "image/gif", "GIF89a": "image/gif",
		"RIFF\x00\x00\x00\x00WEBPVP8 ": "image/webp", "%PDF-1.4": "application/pdf", "hello": text.MediaType,
		"\ufeffhello":              text.MediaType,
		"RIFF\x00\x00\x00\x00WAVE": "", "MZ\x90\x00": "", "PK\x03\x04": "", "\x7fELF": "", "a\x00b": "", "\x1b[31m": "",
		"\xff\xfeh\x00": "", "MZ is the beginning of a text": text.MediaType, "BMI 24": text.MediaType,
		// The header of a PDF may come later.
		"\ufeff%PDF-1.4\n%": pdf.MediaType, "\n%PDF-1.4\n": pdf.MediaType, "\r\n \r\n%PDF-1.7\r\n": pdf.MediaType,
		"Content-Type: application/pdf\r\n\r\n%PDF-1.7\r\n%\xe2\xe3\xcf\xd3\r\n": pdf.MediaType,
		"\x1b%-12345X@PJL\n%PDF-1.4\n":                                           pdf.MediaType,
		strings.Repeat("\x00", 128) + "%PDF-1.4\r%\xe2\xe3":                      pdf.MediaType,
		strings.Repeat("\x00", pdfBefore-1) + "%PDF-1.4":                         pdf.MediaType,
		strings.Repeat("\x00", pdfBefore) + "%PDF-1.4":                           "",
		strings.Repeat("\n", pdfBefore-1) + "%PDF-1.4\n":                         pdf.MediaType,
		"A PDF begins with\n%PDF-1.4 and ends with %%EOF\n":                      text.MediaType,
		"Write %PDF-1.4\n at the beginning":                                      text.MediaType,
		"PK\x03\x04 in an archive\n%PDF-1.4\n":                                   "",
		"MZ\x90\x00%PDF-1.4\n":                                                   "",
		"<svg xmlns='http://www.w3.org/2000/svg'/>":                              text.MediaType, "\x89PNG\r\n": "",
	} {
		k, err := sniff([]byte(content))
		require.Equal(t, want != "", err == nil, "%q", content)
		if err == nil {
			require.Equal(t, want, k.MediaType, "%q", content)
		}
	}
}

// A refusal says what to do with a file of that sort.
func TestSniff_advice(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic": "Export it as JPEG",
		"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1heic": "HEIC",
		"\x00\x00\x00\x18ftypavif\x00\x00\x00\x00mif1miaf": "save or export it as JPEG",
		"\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isommp41": "Films",
		"II*\x00\x08\x00":                      "save or export it as JPEG",
		"BM\x00\x10\x00\x00\x00\x00\x00\x00":   "save or export it as JPEG",
		"PK\x03\x04":                           "Unpack it",
		"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1....": "print it as a PDF",
		"\xff\xfeh\x00i\x00":                   "UTF-8 as its encoding",
		"\xfe\xff\x00h\x00i":                   "UTF-8 as its encoding",
		"Temp\xe9rature 38\xb0\r\n":            "UTF-8 as its encoding",
		"\x93\xfa\x96\x7b":                     "UTF-8 as its encoding", // Shift JIS
		"\xde\xad\x00\x01":                     "Send a picture",
	} {
		_, err := sniff([]byte(content))
		require.ErrorContains(t, err, want, "%q", content)
		require.Equal(t, "unsupported_type", errs.CodeOf(err))
	}
	require.ErrorContains(t, tooLarge(jpeg, 10<<20), "10 MiB. Save the picture at a smaller size")
	require.ErrorContains(t, ErrPixels, "half as wide")
}

// However a text is cut into pieces, the result is the same.
func FuzzText(f *testing.F) {
	f.Add([]byte("héllo\n"), 2)
	f.Add([]byte("h\xc3"), 1)
	f.Add([]byte("a\x00"), 3)
	f.Add([]byte("\xf0\x9f\x98\x80"), 1)
	f.Fuzz(func(t *testing.T, content []byte, size int) {
		if size < 1 || size > 100 {
			return
		}
		want := utf8.Valid(content) && !bytes.ContainsFunc(content, func(r rune) bool {
			return r < ' ' && !strings.ContainsRune("\t\n\r\f", r) || r == 0x7f
		})
		var check textCheck
		var err error
		for rest := content; len(rest) > 0 && err == nil; {
			n := min(size, len(rest))
			err = check.add(rest[:n])
			rest = rest[n:]
		}
		if err == nil {
			err = check.end()
		}
		require.Equal(t, want, err == nil)
		_, _ = sniff(content)
	})
}

// exif makes the beginning of a JPEG with an orientation.
func exif(order binary.ByteOrder, orientation uint16) []byte {
	tiff := []byte("II*\x00")
	if order == binary.ByteOrder(binary.BigEndian) {
		tiff = []byte("MM\x00*")
	}
	four, two := make([]byte, 4), make([]byte, 2)
	add := func(b []byte) { tiff = append(tiff, b...) }
	put4 := func(v uint32) { order.PutUint32(four, v); add(four) }
	put2 := func(v uint16) { order.PutUint16(two, v); add(two) }
	put4(8)
	put2(2)
	put2(0x010f) // the maker, before it
	put2(2)
	put4(1)
	put4(0)
	put2(0x0112)
	put2(3)
	put4(1)
	put2(orientation)
	put2(0)
	put4(0)
	payload := append([]byte("Exif\x00\x00"), tiff...)
	out := []byte{0xff, 0xd8, 0xff, 0xe1, 0, 0}
	binary.BigEndian.PutUint16(out[4:], uint16(len(payload)+2))
	return append(out, payload...)
}

func TestScanJPEG(t *testing.T) {
	t.Parallel()
	for o := range uint16(10) {
		want := int(o)
		if o < 1 || o > 8 {
			want = 1
		}
		require.Equal(t, want, scanJPEG(exif(binary.LittleEndian, o)).orientation)
		require.Equal(t, want, scanJPEG(exif(binary.BigEndian, o)).orientation)
	}
	for form, b := range map[string]string{
		"sequential": "\xff\xc0\x00\x04", "extended": "\xff\xc1\x00\x04", "fill": "\xff\xff\xc0\x00\x04",
		"after a table":   "\xff\xdb\x00\x03x\xff\xc0\x00\x04",
		"after a restart": "\xff\xd0\xff\xd7\xff\xc0\x00\x04",
	} {
		require.True(t, scanJPEG([]byte("\xff\xd8"+b)).baseline, form)
	}
	for form, b := range map[string]string{
		"progressive": "\xff\xc2\x00\x04", "after a restart": "\xff\xd3\xff\xc2\x00\x04\xff\xc0\x00\x04",
		"garbage": "x\xff\xc0\x00\x04", "zero": "\xff\x00\xff\xc0\x00\x04",
		"beyond the beginning": "\xff\xe0\xff\xff", "short": "\xff\xe0\x00\x01\xff\xc0\x00\x04",
		"pixels": "\xff\xda\x00\x02\xff\xc0\x00\x04", "nothing": "",
	} {
		require.False(t, scanJPEG([]byte("\xff\xd8"+b)).baseline, form)
	}
}

func FuzzScanJPEG(f *testing.F) {
	f.Add(exif(binary.LittleEndian, 6))
	f.Add(exif(binary.BigEndian, 8))
	f.Add([]byte{0xff, 0xd8, 0xff, 0xe1, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := scanJPEG(b)
		require.True(t, s.orientation >= 1 && s.orientation <= 8)
		_, _ = lookAt(bytes.NewReader(b), int64(len(b)))
	})
}

// For every orientation, the right corner of the stored picture ends up at the top left.
func TestUpright(t *testing.T) {
	t.Parallel()
	// Where the top left corner of the upright picture is in the stored one (TIFF 6.0, Orientation).
	corner := map[int]image.Point{
		1: {0, 0}, 2: {2, 0}, 3: {2, 1}, 4: {0, 1}, 5: {0, 0}, 6: {0, 1}, 7: {2, 1}, 8: {2, 0},
	}
	for orientation, at := range corner {
		stored := image.NewRGBA(image.Rect(0, 0, 3, 2))
		stored.SetRGBA(at.X, at.Y, color.RGBA{R: 255, A: 255})
		shown := upright(stored, orientation)
		w, h := picture{width: 3, height: 2, orientation: orientation}.shown()
		require.Equal(t, image.Pt(w, h), shown.Bounds().Size())
		require.Equal(t, uint8(255), shown.RGBAAt(0, 0).R, orientation)
	}
}

// Whatever the form, reading it ends, within its limits, and returns the file in it.
func FuzzForm(f *testing.F) {
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	_ = m.SetBoundary("x")
	part, _ := m.CreateFormFile("file", "a.txt")
	_, _ = io.WriteString(part, "hello")
	_ = m.Close()
	f.Add(b.Bytes())
	f.Add([]byte("--x\r\nContent-Disposition: form-data; name=file\r\n\r\n"))
	f.Add([]byte("--x\r\n" + strings.Repeat("A: b\r\n", 20_000)))
	f.Fuzz(func(t *testing.T, body []byte) {
		file, err := fileInForm(bytes.NewReader(body), "x", 1000)
		if err != nil {
			return
		}
		in, err := newIntake(file.Body, 1000)
		if err != nil {
			return
		}
		n, err := io.Copy(io.Discard, in)
		if err == nil {
			require.LessOrEqual(t, n, int64(1000))
			_ = file.End()
		}
	})
}
