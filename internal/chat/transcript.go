package chat

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/config"
	"housecall/internal/errs"
	"housecall/internal/transcript"
)

const (
	transcriptPage = 500 // events that are in memory at once
	// transcriptTime bounds how long one transcript takes, also to a slow client.
	transcriptTime = 5 * time.Minute
	// pdfsAtOnce is how many PDFs are under way at once, to different users: each is in memory until it has been sent, about
	// 1 KB a message.
	pdfsAtOnce = 4
)

// Zones tells in which zone a user reads times.
type Zones interface {
	// Zone gives the one that he has chosen, nil for none.
	Zone(ctx context.Context, userID int64) (*time.Location, error)
}

// TranscriptRequest says which transcript somebody wants.
type TranscriptRequest struct {
	Format transcript.Format
	Zone   string // IANA name; "" is the reader's own, or else the clinic's
	UpTo   int64  // the last event; 0 is that of the present. What was edited after it is shown as edited all the same.
}

// Transcript is a document that is read to its end, or closed before.
type Transcript struct {
	io.Reader
	Format transcript.Format
	Name   string // of a file
	ctx    context.Context
	close  func()
}

// Read implements io.Reader. It fails when the time for a transcript is over, or the service ends, however much is in memory.
// At the end it is closed: who has got all may ask for the next before whoever sent it closes it.
func (t Transcript) Read(p []byte) (n int, err error) {
	if err := t.ctx.Err(); err != nil {
		return 0, fmt.Errorf("transcript: %w", err)
	}
	if n, err = t.Reader.Read(p); err != nil {
		t.close()
	}
	return n, err //nolint:wrapcheck // a reader's errors are its own
}

// Close ends the reading. It may be called again.
func (t Transcript) Close() error {
	t.close()
	return nil
}

// errBusy is for whoever wants one PDF more than there may be.
var errBusy = &errs.Error{
	Kind: errs.Unavailable, Code: "busy",
	Message:    "Too many PDFs are under way right now, or one is already on its way to you. Try again shortly, or ask for json or txt.",
	RetryAfter: 5 * time.Second,
}

// Transcript writes a conversation down, as it stands when it is called: whatever comes while it is read, a retraction too,
// is not in it. What was taken back before is not shown, wherever the transcript ends. The reading leaves an audit row. JSON
// and text are read from the log page by page, a PDF is in memory. Whoever gets a transcript closes it.
func (s *Service) Transcript(ctx context.Context, actor auth.Actor, r Reading, want TranscriptRequest) (Transcript, error) {
	facts, present, err := s.transcriptFacts(ctx, actor, r, want)
	if err != nil {
		return Transcript{}, err
	}
	// It outlives the request's deadline, but not the service.
	reading, cancel := context.WithTimeout(context.WithoutCancel(ctx), transcriptTime)
	stop := context.AfterFunc(s.ctx, cancel)
	t := Transcript{
		Format: want.Format, Name: "transcript-" + r.Appointment.PublicID + "." + string(want.Format),
		ctx: reading, close: func() { stop(); cancel() },
	}
	pages := func(ctx context.Context, after int64) ([]transcript.Entry, error) {
		return s.entries(ctx, r, stretch{upTo: facts.HeadSeq, present: present}, after)
	}
	if want.Format == transcript.PDF {
		err = s.pdf(&t, actor.ID, facts, pages)
	} else {
		t.Reader, err = transcript.Open(reading, want.Format, facts, pages)
	}
	if err == nil { // a long PDF may have taken longer than the request had
		err = audit.Record(reading, s.d.Pool, audit.Event{
			Actor: actor, Action: "transcript.read", Subject: r.Appointment.PublicID, PatientID: r.Appointment.Patient.ID,
			Detail: map[string]any{"format": want.Format, "headSeq": facts.HeadSeq},
		})
	}
	if err != nil {
		t.close()
		return Transcript{}, err
	}
	return t, nil
}

// pdf makes a PDF, unless there is no place for it, which it keeps until the transcript is closed, or its time is over.
func (s *Service) pdf(t *Transcript, user int64, facts transcript.Facts, pages transcript.Pages) error {
	if !s.pdfs.take(user) {
		return errBusy
	}
	end, leave := t.close, sync.OnceFunc(func() { s.pdfs.leave(user) })
	context.AfterFunc(t.ctx, leave)
	t.close = func() { end(); leave() }
	whole := &bytes.Buffer{}
	t.Reader = whole
	return transcript.WritePDF(t.ctx, whole, facts, pages)
}

// pdfPlaces are the users to whom a PDF is under way.
type pdfPlaces struct {
	mu    sync.Mutex // guards the rest
	users map[int64]struct{}
}

// take gives a user a place, unless he has one, or there is none.
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

// transcriptFacts also gives the last event of the present.
func (s *Service) transcriptFacts(ctx context.Context, actor auth.Actor, r Reading, want TranscriptRequest) (f transcript.Facts, present int64, err error) {
	a := r.Appointment
	f = transcript.Facts{
		Appointment: transcript.Appointment{ID: a.PublicID, Status: string(a.Status), StartsAt: a.StartsAt, EndsAt: a.EndsAt, Reason: a.Reason},
		GeneratedAt: s.d.Now(),
	}
	if f.Zone, err = s.readersZone(ctx, actor, want.Zone); err != nil {
		return f, 0, err
	}
	if present, err = headSeq(ctx, s.d.Pool, a.ID); err != nil {
		return f, 0, err
	}
	f.HeadSeq = present
	if want.UpTo > present {
		return f, 0, errs.InvalidField("query.upTo", "is beyond the end of the conversation")
	}
	if want.UpTo > 0 {
		f.HeadSeq = want.UpTo
	}
	writers, err := writersOf(ctx, s.d.Pool, a.ID)
	for _, w := range writers {
		f.Participants = append(f.Participants, transcript.Participant(w))
	}
	return f, present, err
}

// readersZone is the zone that was asked for, or the reader's, or the clinic's.
func (s *Service) readersZone(ctx context.Context, actor auth.Actor, asked string) (*time.Location, error) {
	if asked != "" {
		zone, err := config.LoadZone(asked)
		if err != nil {
			return nil, errs.InvalidField("query.zone", "must be the name of an IANA time zone, such as Europe/Berlin")
		}
		return zone, nil
	}
	if s.d.Zones != nil {
		if zone, err := s.d.Zones.Zone(ctx, actor.ID); err != nil || zone != nil {
			return zone, err
		}
	}
	return config.LoadZone(s.d.Config.ClinicZone)
}

// entries reads a page of the log as a transcript has it, with what was said at first for whoever reads through a broken glass.
func (s *Service) entries(ctx context.Context, r Reading, of stretch, after int64) ([]transcript.Entry, error) {
	room := r.Appointment.ID
	events, err := eventsUpTo(ctx, s.d.Pool, room, of, after, transcriptPage)
	if err != nil {
		return nil, err
	}
	page, edited := make([]transcript.Entry, len(events)), map[int64][]*transcript.Entry{}
	for i, e := range events {
		page[i] = entryOf(e)
		switch {
		case e.Retracted && e.Kind == KindCorrection:
			edited[e.Target] = append(edited[e.Target], &page[i])
		case e.Retracted || e.CorrectedBy != 0:
			edited[e.Seq] = append(edited[e.Seq], &page[i])
		}
	}
	if err := s.dateEdits(ctx, room, of.present, edited); err != nil || !r.Glass {
		return page, err
	}
	return page, s.addOriginals(ctx, room, page)
}

func entryOf(e Event) transcript.Entry {
	out := transcript.Entry{Seq: e.Seq, Kind: string(e.Kind), Sender: e.Sender, At: e.At, Target: e.Target, CorrectedBy: e.CorrectedBy}
	if e.hasText() {
		out.Text = &e.Text
	}
	if f := e.Attachment; f != nil {
		out.Attachment = &transcript.Attachment{Name: f.Name, MediaType: f.MediaType, Size: f.Size, SHA256: f.SHA256}
	}
	return out
}

// dateEdits tells when events, by their seq, were taken back or corrected.
func (s *Service) dateEdits(ctx context.Context, room, head int64, edited map[int64][]*transcript.Entry) error {
	if len(edited) == 0 {
		return nil
	}
	targets := make([]int64, 0, len(edited))
	for seq := range edited {
		targets = append(targets, seq)
	}
	edits, err := editsOf(ctx, s.d.Pool, room, head, targets)
	for _, e := range edits {
		for _, entry := range edited[e.Target] {
			switch {
			case e.Kind == KindRetraction:
				entry.RetractedAt = &e.At
			case entry.CorrectedBy != 0:
				entry.CorrectedAt = &e.At
			}
		}
	}
	return err
}

// addOriginals adds what was said at first to what says something else now, or nothing.
func (s *Service) addOriginals(ctx context.Context, room int64, page []transcript.Entry) error {
	bySeq := map[int64]*transcript.Entry{}
	var seqs []int64
	for i, e := range page {
		if e.RetractedAt != nil || e.CorrectedBy != 0 || e.Kind == string(KindCorrection) {
			bySeq[e.Seq] = &page[i]
			seqs = append(seqs, e.Seq)
		}
	}
	if len(seqs) == 0 {
		return nil
	}
	originals, err := originalsOf(ctx, s.d.Pool, room, seqs)
	for _, o := range originals {
		bySeq[o.Seq].Original = &o.Text
	}
	return err
}
