package attachment

import (
	"bytes"
	"encoding/binary"
	"strings"

	"housecall/internal/errs"
)

// unsupported makes a refusal of a type of file. All have one code; the words say what to do instead.
func unsupported(words string) *errs.Error {
	return errs.New(errs.UnsupportedType, "unsupported_type", words)
}

// Refusals of a file's type.
var (
	ErrUnsupported = unsupported(
		"This file type is not supported. Send a picture (PNG, JPEG, GIF, WebP), a PDF, or plain text in UTF-8.")
	ErrDamaged = unsupported("The picture is damaged, or of a sort that we cannot read. " +
		"Open it, save it again as JPEG or PNG, and send that.")
	errEncoding = unsupported("The text is not in UTF-8. Open it in an editor, save it with UTF-8 as its encoding, and " +
		"send that; or save it as a PDF.")
	errHEIC = unsupported("The picture is in HEIC format, which many devices cannot show. Export it as JPEG, and send " +
		"that. An iPhone or iPad takes new pictures as JPEG with Settings > Camera > Formats > Most Compatible.")
	errOtherPicture = unsupported("Pictures in this format cannot be shown everywhere. " +
		"Open it, save or export it as JPEG or PNG, and send that.")
	errFilm     = unsupported("Films and sound cannot be sent. Describe in words what they show, or send single pictures.")
	errDocument = unsupported("Documents of office programs are not supported. Save or print it as a PDF, and send that.")
	errArchive  = unsupported("Archives and packed files are not supported. Unpack it, and send the files one by one. " +
		"A document of an office program can be saved as a PDF.")
)

// begins are beginnings of files that people often try to send, in the order in which they are compared.
var begins = []struct {
	magic   string
	refusal *errs.Error
}{
	{"II*\x00", errOtherPicture}, // TIFF, and the raw pictures of many cameras
	{"MM\x00*", errOtherPicture},
	{"\x00\x00\x00\x0cJXL ", errOtherPicture}, // JPEG XL
	{"\xff\x0a", errOtherPicture},
	{"\x00\x00\x00\x0cjP  ", errOtherPicture}, // JPEG 2000
	{"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", errDocument},
	{"\x1aE\xdf\xa3", errFilm}, // Matroska, WebM
	{"OggS\x00", errFilm},
	{"ID3\x03", errFilm},
	{"ID3\x04", errFilm},
	{"PK\x03\x04", errArchive}, // also what office programs write
	{"PK\x05\x06", errArchive},
	{"Rar!\x1a\x07", errArchive},
	{"7z\xbc\xaf\x27\x1c", errArchive},
	{"\x1f\x8b\x08", errArchive},
	{"\xff\xfe", errEncoding}, // UTF-16
	{"\xfe\xff", errEncoding},
	{"MZ", ErrUnsupported}, // programs, which could carry the header of a PDF
	{"\x7fELF", ErrUnsupported},
}

// foreign refuses a file whose beginning says that it is of a type that is not taken; nil if it says nothing.
func foreign(begin []byte) error {
	for _, b := range begins {
		if bytes.HasPrefix(begin, []byte(b.magic)) && (b.magic != "MZ" || bytes.IndexByte(begin, 0) >= 0) {
			return b.refusal
		}
	}
	switch {
	case len(begin) >= 262 && string(begin[257:262]) == "ustar":
		return errArchive
	case bytes.HasPrefix(begin, []byte("BM")) && len(begin) >= 10 && string(begin[6:10]) == "\x00\x00\x00\x00":
		return errOtherPicture
	case isRIFF(begin, "WAVE"), isRIFF(begin, "AVI "):
		return errFilm
	}
	if r := ofBoxes(begin); r != nil {
		return r
	}
	return nil
}

// ofBoxes refuses a file that consists of boxes (ISO/IEC 14496-12) by its brands: pictures as HEIC and AVIF, or films.
// It returns nil for any other file.
func ofBoxes(begin []byte) *errs.Error {
	if len(begin) < 12 || string(begin[4:8]) != "ftyp" {
		return nil
	}
	end := min(int64(binary.BigEndian.Uint32(begin)), int64(len(begin)))
	refusal := errFilm
	for at := int64(8); at+4 <= end; at += 4 {
		switch brand := string(begin[at : at+4]); {
		case brand == "heic", brand == "heix", brand == "hevc", brand == "heim", brand == "heis":
			return errHEIC
		case brand == "avif", brand == "avis":
			return errOtherPicture
		case strings.HasPrefix(brand, "mif"), strings.HasPrefix(brand, "msf"):
			refusal = errOtherPicture
		}
	}
	return refusal
}
