package transcript

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/conversation"
	"housecall/internal/errs"
	"housecall/internal/postgres"
	"housecall/internal/zone"
)

const (
	pageSize = 500 // how many events are in memory at once
	// timeLimit is how long one transcript may take, however slow the client is.
	timeLimit = 5 * time.Minute
	// pdfsAtOnce is how many PDFs are made and sent at once, each for another user. Each is in memory until it has been
	// sent, with about 1 KB a message.
	pdfsAtOnce = 4
)

// Zones knows in which time zone users read times.
type Zones interface {
	// Zone returns the one that a user has chosen, nil for none.
	Zone(ctx context.Context, userID int64) (*time.Location, error)
}

// Options are the configured values of transcripts.
type Options struct {
	Zone *time.Location // the clinic's, for users who have not chosen one
}

// Deps are what transcripts need; all but Zones are required.
type Deps struct {
	Pool          *postgres.Pool // for audit rows
	Conversations *conversation.Service
	Zones         Zones // if nil, everybody reads times in the clinic's zone
	Now           func() time.Time
	Options       Options
}

// Service is the only door to transcripts.
type Service struct {
	d    Deps
	pdfs *pdfPlaces

	ctx  context.Context
	stop context.CancelFunc
}

// New makes the service.
func New(d Deps) *Service {
	s := &Service{d: d, pdfs: &pdfPlaces{users: map[int64]struct{}{}}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// Stop breaks off all transcripts that are still being read.
func (s *Service) Stop() { s.stop() }

// Request says which transcript somebody wants.
type Request struct {
	Format Format
	Zone   string // IANA name; "" for the reader's own zone, or else the clinic's
	UpTo   int64  // the last event; 0 for the latest. What was edited after it is still shown as edited.
}

// Transcript is a document that is read to its end, or closed before that.
type Transcript struct {
	io.Reader
	Format Format
	Name   string // of the file
	ctx    context.Context
	close  func()
}

// Read implements io.Reader. It fails once the time for a transcript is over, or the service has stopped, however much
// is in memory. The end closes the transcript, so that whoever has received it all may ask for the next one before its
// sender closes it.
func (t Transcript) Read(p []byte) (n int, err error) {
	if err := t.ctx.Err(); err != nil {
		return 0, fmt.Errorf("transcript: %w", err)
	}
	if n, err = t.Reader.Read(p); err != nil {
		t.close()
	}
	return n, err //nolint:wrapcheck // a reader's errors are its own
}

// Close frees what the transcript holds. It may be called several times.
func (t Transcript) Close() error {
	t.close()
	return nil
}

// errBusy refuses a PDF while there are as many as there may be, or the user has one already.
var errBusy = &errs.Error{
	Kind: errs.Unavailable, Code: "busy", RetryAfter: 5 * time.Second,
	Message: "Too many PDFs are being made right now, or one is already on its way to you. " +
		"Please try again shortly, or ask for json or txt.",
}

// Open writes a conversation down as it stands when Open is called: nothing that happens while it is read, not even a
// retraction, is in it. What was retracted before is not shown, wherever the transcript ends. Opening leaves an audit
// row. JSON and text are read from the log page by page; a PDF is in memory. The caller closes the transcript.
func (s *Service) Open(
	ctx context.Context, actor auth.Actor, r conversation.Reading, want Request,
) (Transcript, error) {
	facts, present, err := s.facts(ctx, actor, r, want)
	if err != nil {
		return Transcript{}, err
	}
	// The transcript outlives the request's deadline, but not the service.
	reading, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeLimit)
	stop := context.AfterFunc(s.ctx, cancel)
	a := r.Appointment()
	t := Transcript{
		Format: want.Format, Name: "transcript-" + a.PublicID + "." + string(want.Format),
		ctx: reading, close: func() { stop(); cancel() },
	}
	pages := func(ctx context.Context, after int64) ([]Entry, error) {
		return s.entries(ctx, r, conversation.Stretch{UpTo: facts.HeadSeq, Present: present}, after)
	}
	if want.Format == PDF {
		err = s.pdf(&t, actor.ID, facts, pages)
	} else {
		t.Reader, err = NewStream(reading, want.Format, facts, pages)
	}
	if err == nil { // not with ctx: a long PDF may have taken longer than the request's deadline
		err = audit.Record(reading, s.d.Pool, audit.Event{
			Actor: actor, Action: "transcript.read", Subject: a.PublicID, PatientID: a.Patient.ID,
			Detail: map[string]any{"format": want.Format, "headSeq": facts.HeadSeq},
		})
	}
	if err != nil {
		t.close()
		return Transcript{}, err
	}
	return t, nil
}

// pdf makes a PDF if there is a place for it, which it keeps until the transcript is closed or its time is over.
func (s *Service) pdf(t *Transcript, user int64, facts Facts, pages Pages) error {
	if !s.pdfs.take(user) {
		return errBusy
	}
	end, leave := t.close, sync.OnceFunc(func() { s.pdfs.leave(user) })
	context.AfterFunc(t.ctx, leave)
	t.close = func() { end(); leave() }
	whole := &bytes.Buffer{}
	t.Reader = whole
	return WritePDF(t.ctx, whole, facts, pages)
}

// pdfPlaces are the users for whom a PDF is made or sent right now.
type pdfPlaces struct {
	mu    sync.Mutex // guards users
	users map[int64]struct{}
}

// take gives a user a place, unless they have one already or none is free.
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

// facts also returns the seq of the log's last event.
func (s *Service) facts(
	ctx context.Context, actor auth.Actor, r conversation.Reading, want Request,
) (f Facts, present int64, err error) {
	a := r.Appointment()
	f = Facts{
		Appointment: Appointment{
			ID: a.PublicID, Status: string(a.Status), StartsAt: a.StartsAt, EndsAt: a.EndsAt, Reason: a.Reason,
		},
		GeneratedAt: s.d.Now(),
	}
	if f.Zone, err = s.readersZone(ctx, actor, want.Zone); err != nil {
		return f, 0, err
	}
	if present, err = s.d.Conversations.Head(ctx, r); err != nil {
		return f, 0, err
	}
	f.HeadSeq = present
	if want.UpTo > present {
		return f, 0, errs.InvalidField("query.upTo", "is beyond the end of the conversation")
	}
	if want.UpTo > 0 {
		f.HeadSeq = want.UpTo
	}
	writers, err := s.d.Conversations.Writers(ctx, r)
	for _, w := range writers {
		f.Participants = append(f.Participants, Participant(w))
	}
	return f, present, err
}

// readersZone returns the zone that was asked for, or else the reader's own, or else the clinic's.
func (s *Service) readersZone(ctx context.Context, actor auth.Actor, asked string) (*time.Location, error) {
	if asked != "" {
		chosen, err := zone.Load(asked)
		if err != nil {
			return nil, errs.InvalidField("query.zone", err.Error())
		}
		return chosen, nil
	}
	if s.d.Zones != nil {
		if own, err := s.d.Zones.Zone(ctx, actor.ID); err != nil || own != nil {
			return own, err
		}
	}
	return s.d.Options.Zone, nil
}

// entries reads a page of the log, for observers with the original wording.
func (s *Service) entries(
	ctx context.Context, r conversation.Reading, of conversation.Stretch, after int64,
) ([]Entry, error) {
	events, err := s.d.Conversations.Stretch(ctx, r, of, after, pageSize)
	if err != nil {
		return nil, err
	}
	page, edited := make([]Entry, len(events)), map[int64][]*Entry{}
	for i, e := range events {
		page[i] = entryOf(e)
		switch {
		case e.Retracted && e.Kind == conversation.KindCorrection:
			edited[e.Target] = append(edited[e.Target], &page[i])
		case e.Retracted || e.CorrectedBy != 0:
			edited[e.Seq] = append(edited[e.Seq], &page[i])
		}
	}
	if err := s.dateEdits(ctx, r, of.Present, edited); err != nil || !r.Observer() {
		return page, err
	}
	return page, s.addOriginals(ctx, r, page)
}

func entryOf(e conversation.Event) Entry {
	out := Entry{
		Seq: e.Seq, Kind: string(e.Kind), Sender: e.Sender, At: e.At, Target: e.Target, CorrectedBy: e.CorrectedBy,
	}
	if e.HasText() {
		out.Text = &e.Text
	}
	if f := e.Attachment; f != nil {
		out.Attachment = &Attachment{Name: f.Name, MediaType: f.MediaType, Size: f.Size, SHA256: f.SHA256}
	}
	return out
}

// dateEdits fills in when entries were retracted or corrected. edited has them by the seq of the message that was.
func (s *Service) dateEdits(
	ctx context.Context, r conversation.Reading, present int64, edited map[int64][]*Entry,
) error {
	if len(edited) == 0 {
		return nil
	}
	edits, err := s.d.Conversations.Edits(ctx, r, present, slices.Collect(maps.Keys(edited)))
	for _, e := range edits {
		for _, entry := range edited[e.Target] {
			switch {
			case e.Kind == conversation.KindRetraction:
				entry.RetractedAt = &e.At
			case entry.CorrectedBy != 0:
				entry.CorrectedAt = &e.At
			}
		}
	}
	return err
}

// addOriginals adds the original wording of entries whose text has changed or is gone.
func (s *Service) addOriginals(ctx context.Context, r conversation.Reading, page []Entry) error {
	var seqs []int64
	for _, e := range page {
		if e.RetractedAt != nil || e.CorrectedBy != 0 || e.Kind == kindCorrection {
			seqs = append(seqs, e.Seq)
		}
	}
	if len(seqs) == 0 {
		return nil
	}
	originals, err := s.d.Conversations.Originals(ctx, r, seqs)
	for i := range page {
		if text, found := originals[page[i].Seq]; found {
			page[i].Original = &text
		}
	}
	return err
}
