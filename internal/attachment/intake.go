package attachment

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"hash"
	"io"

	"housecall/internal/errs"
)

// intake is a file that is being uploaded: while it is read, it is counted, hashed and, if it is text, checked.
type intake struct {
	kind   Kind
	r      io.Reader
	most   int64
	n      int64
	hash   hash.Hash
	failed error // what ended it early, as the client gets it
}

// newIntake reads the beginning of a file and detects its type from it.
func newIntake(body io.Reader, most int64) (*intake, error) {
	from := bufio.NewReaderSize(body, sniffed)
	begin, err := from.Peek(sniffed)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, broken(err)
	}
	if len(begin) == 0 {
		return nil, ErrEmpty
	}
	kind, err := sniff(begin)
	if err != nil {
		return nil, err
	}
	in := &intake{kind: kind, r: from, most: most, hash: sha256.New()}
	if kind.MediaType == text.MediaType {
		in.r = &checked{r: from}
	}
	return in, nil
}

// Read implements io.Reader.
func (in *intake) Read(p []byte) (int, error) {
	n, err := in.r.Read(p)
	in.n += int64(n)
	if in.n > in.most {
		err = tooLarge(in.kind, in.most)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		in.failed = broken(err)
		return 0, in.failed
	}
	_, _ = in.hash.Write(p[:n]) // never fails
	return n, err
}

func (in *intake) digest() []byte { return in.hash.Sum(nil) }

// broken returns the client's error for a failed read of a body: a refusal stays, anything else is an interrupted
// upload.
func broken(err error) error {
	if errs.KindOf(err) != errs.Internal {
		return err
	}
	e := *ErrIncomplete
	e.Err = err
	return &e
}
