package attachment

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"strings"

	"housecall/internal/errs"
	"housecall/internal/httpd/transfer"
)

// formHeaders limits what comes before and after the file in a form, in bytes.
const formHeaders = 64 << 10

var (
	errForm = errs.New(errs.BadRequest, "bad_form",
		"Send multipart/form-data with one part called file, or the file itself as the body.")
	errName = errs.InvalidField("body.file", "its name must not contain the character U+0000")
)

// fileIn finds the file in a request's body and reads no more than necessary.
func fileIn(u *transfer.Upload, name string, most int64) (File, error) {
	if u == nil { // there is no body
		return File{}, ErrEmpty
	}
	kind, parameters, err := mime.ParseMediaType(u.ContentType)
	if err == nil && kind == "multipart/form-data" {
		return fileInForm(u, parameters["boundary"], most)
	}
	return File{Name: name, Body: u}, nil
}

// fileInForm reads a form (RFC 7578) up to its file.
func fileInForm(body io.Reader, boundary string, most int64) (File, error) {
	if boundary == "" {
		return File{}, errForm
	}
	ration := &rationed{r: body, left: formHeaders}
	form := multipart.NewReader(ration, boundary)
	part, err := form.NextRawPart()
	if err != nil {
		return File{}, ration.bad(err)
	}
	if part.FormName() != "file" {
		return File{}, errForm
	}
	name := part.FileName()
	if strings.ContainsRune(name, 0) {
		return File{}, errName
	}
	ration.left += most + formHeaders
	end := func() error {
		_, err := form.NextRawPart()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err == nil:
			return errForm // a request may have only one file
		}
		return ration.bad(err)
	}
	return File{Name: name, Body: partOf{part, ration}, End: end}, nil
}

// partOf reads a part's content.
type partOf struct {
	r    io.Reader
	from *rationed
}

// Read implements io.Reader.
func (p partOf) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		return n, p.from.bad(err)
	}
	return n, err
}

// rationed limits what is read of a form besides its file, which would otherwise be kept in memory.
type rationed struct {
	r      io.Reader
	left   int64
	broken error // the error of the body itself
}

// bad distinguishes a malformed form from an interrupted body.
func (r *rationed) bad(err error) error {
	switch {
	case r.broken != nil:
		return broken(r.broken)
	case errs.KindOf(err) != errs.Internal:
		return err
	}
	return errForm
}

// Read implements io.Reader.
func (r *rationed) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, errForm
	}
	if int64(len(p)) > r.left {
		p = p[:r.left]
	}
	n, err := r.r.Read(p)
	r.left -= int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		r.broken = err
	}
	return n, err
}
