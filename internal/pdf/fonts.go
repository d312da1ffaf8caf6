package pdf

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/go-text/typesetting/font"
	"github.com/go-text/typesetting/font/opentype"
)

// DejaVu Sans Condensed has Latin, Greek, Cyrillic, Armenian, Georgian, Hebrew, Arabic and many symbols.
//
//go:embed fonts
var builtIn embed.FS

// maxFontBytes is the size of the largest font file that is read: fonts stay in memory.
const maxFontBytes = 64 << 20

// Fonts are the fonts of documents: a regular and a bold one for what they have, and others for everything else. They
// can be used by several documents at once.
type Fonts struct {
	regular, bold *font.Font
	more          []*font.Font
}

var loadBuiltIn = sync.OnceValues(func() (Fonts, error) {
	var f Fonts
	for name, to := range map[string]**font.Font{
		"fonts/DejaVuSansCondensed.ttf": &f.regular, "fonts/DejaVuSansCondensed-Bold.ttf": &f.bold,
	} {
		data, err := builtIn.ReadFile(name)
		if err != nil {
			return f, fmt.Errorf("read the font %s: %w", name, err)
		}
		faces, err := font.ParseTTC(bytes.NewReader(data))
		if err != nil {
			return f, fmt.Errorf("parse the font %s: %w", name, err)
		}
		*to = faces[0].Font
	}
	return f, nil
})

// LoadFonts returns the built-in fonts and, unless folder is "", those in the files .ttf, .otf and .ttc of a folder. Of
// several that have a character, the one whose file name comes first is used. From a collection only the first font is
// used.
func LoadFonts(folder string) (*Fonts, error) {
	base, err := loadBuiltIn()
	if err != nil || folder == "" {
		return &base, err
	}
	files, err := os.ReadDir(folder) // sorted by name
	if err != nil {
		return nil, fmt.Errorf("read the fonts: %w", err)
	}
	for _, file := range files {
		if file.IsDir() || !slices.Contains([]string{".ttf", ".otf", ".ttc"}, strings.ToLower(filepath.Ext(file.Name()))) {
			continue
		}
		f, err := loadFont(filepath.Join(folder, file.Name()), file)
		if err != nil {
			return nil, err
		}
		base.more = append(base.more, f)
	}
	return &base, nil
}

func loadFont(name string, file fs.DirEntry) (*font.Font, error) {
	info, err := os.Stat(name) // it may be a link
	if err != nil {
		return nil, fmt.Errorf("read the font %s: %w", file.Name(), err)
	}
	if info.Size() > maxFontBytes {
		return nil, fmt.Errorf("the font %s is larger than %d MiB", file.Name(), maxFontBytes>>20)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read the font %s: %w", file.Name(), err)
	}
	faces, err := font.ParseTTC(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%s is not a font that can be used: %w", file.Name(), err)
	}
	return faces[0].Font, nil
}

// face is a font in one document.
type face struct {
	*font.Face
	drawn map[font.GID]bool // whether it has an outline, for glyphs that were looked up
}

func newFace(f *font.Font, bold bool) *face {
	out := &face{Face: font.NewFace(f), drawn: map[font.GID]bool{}}
	weight := float32(400)
	if bold {
		weight = 700
	}
	out.SetVariations([]font.Variation{{Tag: opentype.MustNewTag("wght"), Value: weight}}) // no effect on most fonts
	return out
}

// has tells whether the font can show a character: it may have only a picture of it in colors.
func (f *face) has(r rune) bool {
	gid, ok := f.NominalGlyph(r)
	if !ok {
		return false
	}
	drawn, known := f.drawn[gid]
	if !known {
		_, drawn = f.GlyphDataOutline(gid)
		f.drawn[gid] = drawn
	}
	return drawn
}
