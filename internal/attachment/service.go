package attachment

import (
	"bytes"
	"context"
	"io"
	"math"
	"sync"
	"time"

	"github.com/google/uuid"

	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/blob"
	"housecall/internal/config"
	"housecall/internal/errs"
	"housecall/internal/httpd/ratelimit"
	"housecall/internal/postgres"
)

// Conversation is what the room has to know of one.
type Conversation struct {
	ID            int64
	AppointmentID string // APP…
	PatientID     int64
	// Glass says that it is read by an administrator who broke the glass: he sees what was taken back, and each look is
	// audited.
	Glass bool
}

// Conversations says who may do what in a conversation.
type Conversations interface {
	// Readable gives an appointment's conversation to whoever may read it; for anyone else it is not there (404).
	Readable(ctx context.Context, actor auth.Actor, appointmentID string) (Conversation, error)
	// Writable gives it to its participants while it is open, and else refuses.
	Writable(ctx context.Context, actor auth.Actor, appointmentID string) (Conversation, error)
	// Retracted gives those of a conversation's messages that were taken back.
	Retracted(ctx context.Context, conversation int64, seqs []int64) (map[int64]bool, error)
}

// Deps are the parts that the room stands on; all are required.
type Deps struct {
	Pool          *postgres.Pool
	Store         blob.Store
	Conversations Conversations
	Limiter       ratelimit.Limiter
	Config        config.Config
}

// Service is the door to attachments.
type Service struct {
	d       Deps
	decoder *decoder
	places  places
}

// New makes the room.
func New(d Deps) *Service {
	return &Service{d: d, decoder: newDecoder(), places: places{most: d.Config.UploadsAtOnce, of: map[int64]int{}}}
}

// File is one that is being uploaded. Name is as the client gave it. End, which may be nil, is asked once Body was read to
// its end whether that was all.
type File struct {
	Name string
	Body io.Reader
	End  func() error
}

// Upload takes a file for a conversation. open is called once it is clear that the actor may upload. The file is stored as
// it is read; when anything fails, nothing of it stays. It is its uploader's alone until a message sends it.
func (s *Service) Upload(ctx context.Context, actor auth.Actor, appointmentID string, open func() (File, error)) (Attachment, error) {
	c, err := s.d.Conversations.Writable(ctx, actor, appointmentID)
	if err != nil {
		return Attachment{}, err
	}
	if err := s.throttle(ctx, actor); err != nil {
		return Attachment{}, err
	}
	if !s.places.take(actor.ID) {
		return Attachment{}, ErrBusy
	}
	defer s.places.leave(actor.ID)
	file, err := open()
	if err != nil {
		return Attachment{}, err
	}
	in, err := newIntake(file.Body, int64(s.d.Config.AttachmentBytes))
	if err != nil {
		return Attachment{}, err
	}
	a := Attachment{
		ID: uuid.New(), RoomID: c.ID, UploaderID: actor.ID, Uploader: actor.UserID, Name: safeName(file.Name, in.kind), MediaType: in.kind.MediaType,
	}
	if err := s.reserve(ctx, a); err != nil {
		return Attachment{}, err
	}
	kept := false
	defer func() { // also when something panics
		if !kept {
			s.undo(ctx, a)
		}
	}()
	if err := s.keep(ctx, &a, in, file.End); err != nil {
		return Attachment{}, err
	}
	if err := s.complete(ctx, actor, c, a); err != nil {
		return Attachment{}, err
	}
	kept = true
	return a, nil
}

func (s *Service) throttle(ctx context.Context, actor auth.Actor) error {
	ok, wait := s.d.Limiter.Allow(ctx, "upload:"+actor.UserID, ratelimit.Limit{N: s.d.Config.UploadsPerMinute, Per: time.Minute})
	if ok {
		return nil
	}
	return &errs.Error{
		Kind: errs.RateLimited, Code: "rate_limited", Message: "Too many uploads. Wait a moment and send the file again.", RetryAfter: wait,
	}
}

// reserve counts an upload before it comes, so that many at once are not more than are allowed.
func (s *Service) reserve(ctx context.Context, a Attachment) error {
	return s.d.Pool.InTx(ctx, func(tx *postgres.Tx) error {
		before, err := countUploads(ctx, tx, a.RoomID)
		if err != nil {
			return err
		}
		if before.Files >= s.d.Config.AttachmentsPerDay {
			return quota(s.d.Config.AttachmentsPerDay, before.First.Add(day).Sub(tx.Now()))
		}
		return insert(ctx, tx, a)
	})
}

// keep stores what comes in and learns from it what there is to know of it.
func (s *Service) keep(ctx context.Context, a *Attachment, in *intake, end func() error) error {
	size, err := s.d.Store.Put(ctx, a.contentKey(), in)
	switch {
	case in.failed != nil:
		return in.failed
	case err != nil:
		return unreachable(err)
	}
	if end != nil {
		if err := end(); err != nil {
			return err
		}
	}
	a.SizeBytes, a.SHA256 = size, in.sum()
	if in.kind.Picture {
		return s.picture(ctx, a)
	}
	return nil
}

// picture looks at a picture that is stored, and stores a small one of it.
func (s *Service) picture(ctx context.Context, a *Attachment) error {
	var p picture
	err := s.read(ctx, *a, func(r io.Reader) (err error) {
		p, err = lookAt(r, a.SizeBytes)
		return err
	})
	if err != nil {
		return err
	}
	width, height := p.shown()
	a.Width, a.Height = &width, &height
	var small []byte
	err = s.read(ctx, *a, func(r io.Reader) (err error) {
		small, err = s.decoder.thumbnail(ctx, r, p)
		return err
	})
	if err != nil || small == nil {
		return err
	}
	if _, err := s.d.Store.Put(ctx, a.thumbnailKey(), bytes.NewReader(small)); err != nil {
		return unreachable(err)
	}
	a.Thumbnail = true
	return nil
}

// read has f read the content from its beginning.
func (s *Service) read(ctx context.Context, a Attachment, f func(io.Reader) error) error {
	r, err := s.d.Store.Open(ctx, a.contentKey(), 0, -1)
	if err != nil {
		return unreachable(err)
	}
	defer func() { _ = r.Close() }() // nothing was written
	return f(r)
}

// complete makes the file one that can be sent.
func (s *Service) complete(ctx context.Context, actor auth.Actor, c Conversation, a Attachment) error {
	return s.d.Pool.InTx(ctx, func(tx *postgres.Tx) error {
		there, err := markStored(ctx, tx, a)
		if err != nil {
			return err
		}
		if !there {
			return ErrIncomplete
		}
		return audit.Record(ctx, tx, audit.Event{
			Actor: actor, Action: "attachment.upload", Subject: c.AppointmentID, PatientID: c.PatientID,
			Detail: map[string]any{"attachment": a.ID, "mediaType": a.MediaType, "bytes": a.SizeBytes},
		})
	})
}

// undoing bounds how long taking an upload back may take.
const undoing = 10 * time.Second

// undo takes back what there is of an upload, also when its client has gone. What it cannot, Sweep does later.
func (s *Service) undo(ctx context.Context, a Attachment) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoing)
	defer cancel()
	_ = s.remove(ctx, a)
}

// remove deletes the bytes first: as long as the row is there, they are not forgotten.
func (s *Service) remove(ctx context.Context, a Attachment) error {
	for _, key := range []string{a.thumbnailKey(), a.contentKey()} {
		if err := s.d.Store.Delete(ctx, key); err != nil {
			return err
		}
	}
	return forget(ctx, s.d.Pool, a.ID)
}

// Find gives a file to whoever may see it: one that was sent to all who read the conversation, unless the message was
// taken back (then to Glass alone), and one that was not sent yet to its uploader.
func (s *Service) Find(ctx context.Context, actor auth.Actor, appointmentID string, id uuid.UUID) (Attachment, error) {
	c, err := s.d.Conversations.Readable(ctx, actor, appointmentID)
	if err != nil {
		return Attachment{}, err
	}
	a, err := stored(ctx, s.d.Pool, c.ID, id)
	if err != nil {
		return Attachment{}, err
	}
	if a.Seq == nil {
		if a.UploaderID != actor.ID || c.Glass {
			return Attachment{}, errs.Missing("attachment")
		}
		return a, nil
	}
	if c.Glass {
		return a, s.auditRead(ctx, actor, c, map[string]any{"attachment": a.ID})
	}
	retracted, err := s.d.Conversations.Retracted(ctx, c.ID, []int64{*a.Seq})
	if err != nil {
		return Attachment{}, err
	}
	if retracted[*a.Seq] {
		return Attachment{}, errs.Missing("attachment")
	}
	return a, nil
}

func (s *Service) auditRead(ctx context.Context, actor auth.Actor, c Conversation, detail map[string]any) error {
	return audit.Record(ctx, s.d.Pool, audit.Event{
		Actor: actor, Action: "attachment.read", Subject: c.AppointmentID, PatientID: c.PatientID, Detail: detail,
	})
}

// Content reads bytes of a file that Find gave.
func (s *Service) Content(ctx context.Context, a Attachment, offset, length int64) (io.ReadCloser, error) {
	r, err := s.d.Store.Open(ctx, a.contentKey(), offset, length)
	if err != nil {
		return nil, unreachable(err)
	}
	return r, nil
}

// thumbnailMax is far above what a thumbnail takes.
const thumbnailMax = 1 << 20

// Thumbnail gives the small picture of a file that Find gave, a JPEG; errs.NotFound if there is none.
func (s *Service) Thumbnail(ctx context.Context, a Attachment) ([]byte, error) {
	if !a.Thumbnail {
		return nil, errs.Missing("thumbnail")
	}
	r, err := s.d.Store.Open(ctx, a.thumbnailKey(), 0, -1)
	if err != nil {
		return nil, unreachable(err)
	}
	defer func() { _ = r.Close() }() // nothing was written
	small, err := io.ReadAll(io.LimitReader(r, thumbnailMax))
	if err != nil {
		return nil, unreachable(err)
	}
	return small, nil
}

// Sent is a file in a list.
type Sent struct {
	Attachment
	Retracted bool
}

// List gives files that were sent, the newest first, by messages before a seq (0: from the end). next is where the page
// after begins, 0 on the last. What was taken back is in it for Glass alone.
func (s *Service) List(ctx context.Context, actor auth.Actor, appointmentID string, before int64, limit int) (page []Sent, next int64, err error) {
	c, err := s.d.Conversations.Readable(ctx, actor, appointmentID)
	if err != nil {
		return nil, 0, err
	}
	if before == 0 {
		before = math.MaxInt64
	}
	all, err := sentBefore(ctx, s.d.Pool, c.ID, before, limit+1)
	if err != nil {
		return nil, 0, err
	}
	if len(all) > limit {
		all = all[:limit]
		next = *all[limit-1].Seq
	}
	seqs := make([]int64, len(all))
	for i, a := range all {
		seqs[i] = *a.Seq
	}
	retracted, err := s.d.Conversations.Retracted(ctx, c.ID, seqs)
	if err != nil {
		return nil, 0, err
	}
	for _, a := range all {
		if !retracted[*a.Seq] || c.Glass {
			page = append(page, Sent{a, retracted[*a.Seq]})
		}
	}
	if c.Glass {
		err = s.auditRead(ctx, actor, c, map[string]any{"listed": len(page)})
	}
	return page, next, err
}

// places are for uploads that are under way here.
type places struct {
	most int

	mu  sync.Mutex // guards the rest
	all int
	of  map[int64]int // by user
}

func (p *places) take(user int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all >= p.most || p.of[user] >= atOncePerUser {
		return false
	}
	p.all++
	p.of[user]++
	return true
}

func (p *places) leave(user int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all--
	if p.of[user]--; p.of[user] == 0 {
		delete(p.of, user)
	}
}
