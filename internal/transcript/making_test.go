package transcript

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A PDF that takes long to make begins before it is made, and is the same to the byte.
func TestService_pdf_later(t *testing.T) {
	t.Parallel()
	s := New(Deps{Fonts: fonts(t)})
	facts := facts(t, 0)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	release := make(chan struct{})
	pages := func(ctx context.Context, _ int64) ([]Entry, error) {
		select {
		case <-release:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	open := func() *Transcript {
		tr := &Transcript{ctx: ctx, cancel: cancel}
		require.NoError(t, s.place(tr, 1))
		require.NoError(t, s.pdf(tr, facts, pages, 0))
		begin := make([]byte, len(pdfBegins))
		_, err := io.ReadFull(tr, begin)
		require.NoError(t, err)
		require.Equal(t, pdfBegins, string(begin), "nothing is made yet")
		return tr
	}
	slow := open()
	close(release)
	rest, err := io.ReadAll(slow.Reader)
	require.NoError(t, err)
	whole, err := MakePDF(t.Context(), s.d.Fonts, facts, pages)
	require.NoError(t, err)
	require.True(t, bytes.Equal(whole, append([]byte(pdfBegins), rest...)))
	require.NoError(t, slow.Close())

	release = make(chan struct{})
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	broken := open()
	read := make(chan error, 1)
	go func() { _, err := io.Copy(io.Discard, broken.Reader); read <- err }()
	require.NoError(t, broken.Close(), "it waits until nothing is being made any more")
	require.ErrorIs(t, <-read, context.Canceled)

	made := make(chan making, 1)
	failing := &later{made: made}
	made <- making{err: errors.New("away")}
	_, err = io.Copy(io.Discard, io.MultiReader(strings.NewReader(pdfBegins), failing))
	require.EqualError(t, err, "away")
}

// A panic while a PDF is made fails that PDF only, and what it says is not in the error, which is logged.
func TestService_pdf_panic(t *testing.T) {
	t.Parallel()
	s := New(Deps{Fonts: fonts(t)})
	pages := func(context.Context, int64) ([]Entry, error) { panic("a patient's words") }
	for _, patience := range []time.Duration{0, time.Minute} {
		tr := &Transcript{ctx: t.Context(), cancel: func() {}}
		require.NoError(t, s.place(tr, 1))
		err := s.pdf(tr, facts(t, 0), pages, patience)
		if err == nil { // it has begun
			_, err = io.Copy(io.Discard, tr.Reader)
		}
		require.ErrorContains(t, err, "panicked with a string")
		require.NotContains(t, err.Error(), "words")
		require.NoError(t, tr.Close())
	}
}

// Asking and breaking off gives up the place only when nothing is being made any more.
func TestService_pdf_place(t *testing.T) {
	t.Parallel()
	fonts, facts := fonts(t), facts(t, 0)
	synctest.Test(t, func(t *testing.T) {
		s := New(Deps{Fonts: fonts})
		for _, leave := range []func(*Transcript){
			func(tr *Transcript) { tr.cancel() },                    // its time is over
			func(tr *Transcript) { go func() { _ = tr.Close() }() }, // the client has gone
		} {
			ctx, cancel := context.WithCancel(t.Context())
			tr := &Transcript{ctx: ctx, cancel: cancel}
			require.NoError(t, s.place(tr, 1))
			release := make(chan struct{})
			busy := func(context.Context, int64) ([]Entry, error) { <-release; return nil, nil }
			require.NoError(t, s.pdf(tr, facts, busy, 0))
			leave(tr)
			synctest.Wait()
			require.ErrorIs(t, s.place(&Transcript{}, 1), errBusy, "it is still being made")
			close(release)
			synctest.Wait()
			require.True(t, s.pdfs.take(1))
			s.pdfs.leave(1)
			_, err := io.Copy(io.Discard, tr.Reader)
			require.ErrorIs(t, err, context.Canceled, "it is not finished for nobody")
		}
		ctx, cancel := context.WithCancel(t.Context())
		_, err := MakePDF(ctx, fonts, facts, func(context.Context, int64) ([]Entry, error) {
			cancel()
			return []Entry{{Seq: 1}}, nil
		})
		require.ErrorIs(t, err, context.Canceled, "nothing more of the page is set")
	})
}
