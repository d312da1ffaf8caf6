package transcript

import (
	"bytes"
	"context"
	"fmt"
	"io"
)

// renderer writes one format into a buffer, which the caller empties between calls.
type renderer interface {
	begin(Facts) error
	entry(e Entry, canonical []byte) error
	end(sum string) error
}

// Stream produces a transcript page by page as it is read, so that it needs memory for one page only, however long
// the conversation is.
type Stream struct {
	ctx    context.Context
	pages  Pages
	facts  Facts
	render renderer
	digest Digest
	buffer *bytes.Buffer
	last   int64 // the seq of the last entry written
	over   bool  // the end has been written
}

var _ io.Reader = (*Stream)(nil)

// NewStream starts a transcript as JSON or Text. Reading from the log uses ctx.
func NewStream(ctx context.Context, format Format, facts Facts, pages Pages) (*Stream, error) {
	buffer := &bytes.Buffer{}
	if format == Text {
		return open(ctx, newText(buffer), buffer, facts, pages)
	}
	return open(ctx, newJSON(buffer), buffer, facts, pages)
}

func open(ctx context.Context, r renderer, buffer *bytes.Buffer, facts Facts, pages Pages) (*Stream, error) {
	digest, err := newDigest(facts)
	if err != nil {
		return nil, err
	}
	s := &Stream{ctx: ctx, pages: pages, facts: facts, render: r, digest: digest, buffer: buffer}
	return s, r.begin(facts)
}

// Read implements io.Reader. After an error other than io.EOF the transcript is incomplete.
func (s *Stream) Read(p []byte) (int, error) {
	for s.buffer.Len() == 0 {
		if s.over {
			return 0, io.EOF
		}
		if err := s.more(); err != nil {
			return 0, err
		}
	}
	return s.buffer.Read(p) //nolint:wrapcheck // it cannot fail while the buffer is not empty
}

// Buffered returns how many bytes are in memory, ready to be read.
func (s *Stream) Buffered() int { return s.buffer.Len() }

// more renders the next page, or the end.
func (s *Stream) more() error {
	page, err := s.pages(s.ctx, s.last)
	if err != nil {
		return err
	}
	for _, e := range page {
		if err := s.ctx.Err(); err != nil {
			return fmt.Errorf("transcript: %w", err)
		}
		if e.Seq != s.last+1 {
			return fmt.Errorf("transcript: event %d follows event %d", e.Seq, s.last)
		}
		line, err := s.digest.Add(e)
		if err != nil {
			return err
		}
		if err := s.render.entry(e, line); err != nil {
			return err
		}
		s.last = e.Seq
	}
	if len(page) > 0 {
		return nil
	}
	if s.last != s.facts.HeadSeq {
		return fmt.Errorf("transcript: it ends at event %d of %d", s.last, s.facts.HeadSeq)
	}
	s.over = true
	return s.render.end(s.digest.String())
}
