package transcript

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// place takes a place for a PDF, until the transcript is closed.
func (s *Service) place(t *Transcript, user int64) error {
	if !s.pdfs.take(user) {
		return errBusy
	}
	cancel, free := t.cancel, sync.OnceFunc(func() { s.pdfs.leave(user) })
	t.free = free
	t.close = func() { cancel(); free() }
	return nil
}

// pdf makes a PDF. If that takes longer than patience, the transcript begins with the PDF's first bytes, and goes on
// when it is made. Its place is free once the transcript is closed or its time is over, but not before the work has
// ended: whoever asks and breaks off again and again would have more made at once than memory is meant for.
func (s *Service) pdf(t *Transcript, facts Facts, pages Pages, patience time.Duration) error {
	made := make(chan making, 1)
	var work sync.WaitGroup
	work.Go(func() {
		whole, err := s.contained(t.ctx, facts, pages)
		made <- making{whole, err}
	})
	cancel, free := t.cancel, t.free
	leave := func() { work.Wait(); free() }
	context.AfterFunc(t.ctx, leave)
	t.close = func() { cancel(); leave() }
	wait := time.NewTimer(patience)
	defer wait.Stop()
	select {
	case m := <-made:
		t.Reader = bytes.NewReader(m.whole)
		return m.err
	case <-wait.C:
		t.Reader = io.MultiReader(strings.NewReader(pdfBegins), &later{made: made})
		return nil
	}
}

// contained is MakePDF, but turns a panic into an error: patients' texts must not end the instance. The panic's value
// may quote them, so the error has only its type.
func (s *Service) contained(ctx context.Context, facts Facts, pages Pages) (whole []byte, err error) {
	defer func() {
		if thrown := recover(); thrown != nil {
			err = fmt.Errorf("transcript: making a PDF panicked with a %T\n%s", thrown, debug.Stack())
		}
	}()
	return MakePDF(ctx, s.d.Fonts, facts, pages)
}

// pdfBegins is how every PDF that MakePDF makes begins.
const pdfBegins = "%PDF-1.7\n"

// making is the result of MakePDF.
type making struct {
	whole []byte
	err   error
}

// later reads a PDF without its beginning, once it is made.
type later struct {
	made <-chan making
	rest *bytes.Reader
}

// Read implements io.Reader.
func (l *later) Read(p []byte) (int, error) {
	if l.rest == nil {
		m := <-l.made
		if m.err != nil {
			return 0, m.err
		}
		l.rest = bytes.NewReader(m.whole[len(pdfBegins):])
	}
	return l.rest.Read(p) //nolint:wrapcheck // io.Reader errors are not wrapped
}

// pdfPlaces are the users for whom a PDF is being made or sent.
type pdfPlaces struct {
	mu    sync.Mutex // guards users
	users map[int64]struct{}
}

// take returns a user a place, unless they already have one or none is free.
func (p *pdfPlaces) take(user int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, has := p.users[user]; has || len(p.users) == pdfsAtOnce {
		return false
	}
	p.users[user] = struct{}{}
	return true
}

func (p *pdfPlaces) leave(user int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.users, user)
}
