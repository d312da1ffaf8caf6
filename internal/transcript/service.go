package transcript

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/conversation"
	"housecall/internal/errs"
	"housecall/internal/pdf"
	"housecall/internal/postgres"
	"housecall/internal/zone"
)

const (
	pageSize = 500 // how many events are in memory at once
	// pageTimeout is how long reading one page of the log may take.
	pageTimeout = 10 * time.Second
	// patience is how long a caller of Open waits for a PDF, and spare how much of its own time it keeps. Longer ones
	// begin before they are made: nobody can tell an answer that takes long to begin from none.
	patience = 5 * time.Second
	spare    = time.Second
	// timeLimit is how long one transcript may take, however slow the client is.
	timeLimit = 5 * time.Minute
	// pdfsAtOnce is how many PDFs are made and sent at once, each for a different user. Each stays in memory until it
	// has been sent, at about 1 KB per message.
	pdfsAtOnce = 4
)

// Zones knows users' time zones.
type Zones interface {
	// Zone returns the zone that a user has chosen; nil for none.
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
	Fonts         *pdf.Fonts
	Zones         Zones // if nil, everyone gets times in the clinic's zone
	Now           func() time.Time
	Options       Options
}

// Service is the only way to get transcripts.
type Service struct {
	d    Deps
	pdfs *pdfPlaces

	ctx  context.Context
	stop context.CancelFunc
}

// New returns a Service.
func New(d Deps) *Service {
	s := &Service{d: d, pdfs: &pdfPlaces{users: map[int64]struct{}{}}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// Stop breaks off all transcripts that are still being read.
func (s *Service) Stop() { s.stop() }

// Request says which transcript to make.
type Request struct {
	Format Format
	Zone   string // IANA name; "" for the reader's own zone, or else the clinic's
	UpTo   int64  // the last event; 0 for the latest. Later edits of earlier events still count.
}

// Transcript is a document that callers read to its end or close before that.
type Transcript struct {
	io.Reader
	Format Format
	Name   string // of the file
	ctx    context.Context
	cancel func() // ends ctx
	free   func() // frees the place of a PDF
	close  func()
}

// Read implements io.Reader. It fails once the time for a transcript is over or the service has stopped, even if
// there is more in memory. At the end it closes the transcript, so that users who have received all of it can request
// the next one before the sender calls Close.
func (t Transcript) Read(p []byte) (n int, err error) {
	if err := t.ctx.Err(); err != nil {
		return 0, fmt.Errorf("transcript: %w", err)
	}
	if n, err = t.Reader.Read(p); err != nil {
		t.close()
	}
	return n, err //nolint:wrapcheck // io.Reader errors are not wrapped
}

// Close frees what the transcript holds. It may be called several times.
func (t Transcript) Close() error {
	t.close()
	return nil
}

// errBusy refuses a PDF while too many are being made or the user already has one.
var errBusy = &errs.Error{
	Kind: errs.Unavailable, Code: "busy", RetryAfter: 5 * time.Second,
	Message: "Too many PDFs are being made right now, or you are already getting one. " +
		"Please try again shortly, or ask for json or txt.",
}

// Open makes a transcript of a conversation as it stands now. Nothing that happens while it is read is in it, not
// even a retraction. Messages retracted before are not shown, even if the retraction is beyond the end of the
// transcript. Opening leaves an audit row. JSON and text are read from the log page by page; a PDF is in memory. The
// caller must close the transcript.
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
	end := func() { stop(); cancel() }
	a := r.Appointment()
	t := Transcript{
		Format: want.Format, Name: "transcript-" + a.PublicID + "." + string(want.Format),
		ctx: reading, cancel: end, close: end,
	}
	pages := func(ctx context.Context, after int64) ([]Entry, error) {
		ctx, cancel := context.WithTimeout(ctx, pageTimeout)
		defer cancel()
		return s.entries(ctx, r, conversation.Stretch{UpTo: facts.HeadSeq, Present: present}, after)
	}
	if want.Format == PDF {
		err = s.place(&t, actor.ID)
	}
	if err == nil { // before anything is read
		err = audit.Record(ctx, s.d.Pool, audit.Event{
			Actor: actor, Action: "transcript.read", Subject: a.PublicID, PatientID: a.Patient.ID,
			Detail: map[string]any{"format": want.Format, "headSeq": facts.HeadSeq},
		})
	}
	switch {
	case err != nil:
	case want.Format == PDF:
		err = s.pdf(&t, facts, pages, waitFor(ctx))
	default:
		t.Reader, err = NewStream(reading, want.Format, facts, pages)
	}
	if err != nil {
		t.close()
		return Transcript{}, err
	}
	return t, nil
}

// waitFor is how long a caller with that context waits for a PDF.
func waitFor(ctx context.Context) time.Duration {
	if until, bounded := ctx.Deadline(); bounded {
		return max(0, min(patience, time.Until(until)-spare))
	}
	return patience
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

// readersZone returns the requested zone, or else the reader's own, or else the clinic's.
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

// entries reads a page of the log, including original texts for observers.
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

// dateEdits fills in when entries were retracted or corrected. edited has the entries by the seq of the edited
// message.
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

// addOriginals adds the original texts of entries that were corrected or retracted.
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
