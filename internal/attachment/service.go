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
	"housecall/internal/errs"
	"housecall/internal/httpd/ratelimit"
	"housecall/internal/postgres"
)

// Conversation is what an upload or a download needs to know about a conversation.
type Conversation struct {
	ID            int64
	AppointmentID string // APP…
	PatientID     int64
	// Glass says that the reader is an administrator with break-glass access: they also see retracted files, and each
	// access is audited.
	Glass bool
}

// Conversations tells who may do what in a conversation.
type Conversations interface {
	// Readable returns an appointment's conversation if the actor may read it; for others it does not exist (404).
	Readable(ctx context.Context, actor auth.Actor, appointmentID string) (Conversation, error)
	// Writable returns it if the actor is a participant and it is open, and refuses otherwise.
	Writable(ctx context.Context, actor auth.Actor, appointmentID string) (Conversation, error)
	// Retracted returns which of these messages of a conversation were retracted.
	Retracted(ctx context.Context, conversation int64, seqs []int64) (map[int64]bool, error)
}

// Options are the configured values.
type Options struct {
	// MaxBytes is the maximum size of a file.
	MaxBytes int64
	// PerDay is how many files a conversation can get in 24 hours.
	PerDay int
	// PerMinute is how many uploads one user can start in a minute.
	PerMinute int
	// AtOnce is how many uploads an instance accepts at a time.
	AtOnce int
	// UploadTimeout is how long one upload may take.
	UploadTimeout time.Duration
}

// Deps are what a Service needs; all are required.
type Deps struct {
	Pool          *postgres.Pool
	Store         blob.Store
	Conversations Conversations
	Limiter       ratelimit.Limiter
	Options       Options
}

// Service has the use cases of attachments.
type Service struct {
	d       Deps
	decoder *decoder
	places  places
}

// New makes the service.
func New(d Deps) *Service {
	return &Service{d: d, decoder: newDecoder(), places: places{most: d.Options.AtOnce, of: map[int64]int{}}}
}

// File is a file that is being uploaded. Name is the client's. End, which may be nil, is called after Body has been
// read and returns an error if more follows than the file.
type File struct {
	Name string
	Body io.Reader
	End  func() error
}

// Upload stores a file for a conversation. It calls open once it is clear that the actor may upload. The file is
// stored while it is read; if anything fails, nothing of it remains. Only its uploader sees it until a message sends
// it.
func (s *Service) Upload(
	ctx context.Context, actor auth.Actor, appointmentID string, open func() (File, error),
) (Attachment, error) {
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
	in, err := newIntake(file.Body, s.d.Options.MaxBytes)
	if err != nil {
		return Attachment{}, err
	}
	a := Attachment{
		ID: uuid.New(), ConversationID: c.ID, UploaderID: actor.ID, Uploader: actor.UserID,
		Name:      safeName(file.Name, in.kind),
		MediaType: in.kind.MediaType,
	}
	if err := s.reserve(ctx, a); err != nil {
		return Attachment{}, err
	}
	kept := false
	defer func() { // even after a panic
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
	ok, wait := s.d.Limiter.Allow(ctx, "upload:"+actor.UserID,
		ratelimit.Limit{N: s.d.Options.PerMinute, Per: time.Minute})
	if ok {
		return nil
	}
	return &errs.Error{
		Kind: errs.RateLimited, Code: "rate_limited", Message: "Too many uploads. Wait a moment and send the file again.",
		RetryAfter: wait,
	}
}

// reserve counts an upload before it begins, so that concurrent uploads cannot exceed the quota.
func (s *Service) reserve(ctx context.Context, a Attachment) error {
	return s.d.Pool.InTx(ctx, func(tx *postgres.Tx) error {
		before, err := countUploads(ctx, tx, a.ConversationID)
		if err != nil {
			return err
		}
		if before.Files >= s.d.Options.PerDay {
			return quota(s.d.Options.PerDay, before.First.Add(day).Sub(tx.Now()))
		}
		return insert(ctx, tx, a)
	})
}

// keep stores the incoming file and notes its size, its checksum and, for a picture, its dimensions.
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
	a.SizeBytes, a.SHA256 = size, in.digest()
	if in.kind.Picture {
		return s.picture(ctx, a)
	}
	return nil
}

// picture examines a stored picture and stores its thumbnail.
func (s *Service) picture(ctx context.Context, a *Attachment) error {
	var p picture
	err := s.withContent(ctx, *a, func(r io.Reader) (err error) {
		p, err = lookAt(r, a.SizeBytes)
		return err
	})
	if err != nil {
		return err
	}
	width, height := p.shown()
	a.Width, a.Height = &width, &height
	var small []byte
	err = s.withContent(ctx, *a, func(r io.Reader) (err error) {
		small, err = s.decoder.preview(ctx, r, p)
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

// withContent calls f with the whole content.
func (s *Service) withContent(ctx context.Context, a Attachment, f func(io.Reader) error) error {
	r, err := s.d.Store.Open(ctx, a.contentKey(), 0, -1)
	if err != nil {
		return unreachable(err)
	}
	defer func() { _ = r.Close() }() // only read
	return f(r)
}

// complete marks the file as one that can be sent.
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

// undoing is how long removing a failed upload may take.
const undoing = 10 * time.Second

// undo removes what a failed upload has left, even if the client has gone. If it fails, Sweep removes it later.
func (s *Service) undo(ctx context.Context, a Attachment) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoing)
	defer cancel()
	_ = s.remove(ctx, a)
}

// remove deletes the bytes first, because without the row nobody would find them.
func (s *Service) remove(ctx context.Context, a Attachment) error {
	for _, key := range []string{a.thumbnailKey(), a.contentKey()} {
		if err := s.d.Store.Delete(ctx, key); err != nil {
			return err
		}
	}
	return forget(ctx, s.d.Pool, a.ID)
}

// Find returns a file if the actor may see it. Everyone who reads the conversation sees a file that was sent, unless
// its message was retracted: then only break-glass access shows it. Only its uploader sees a file that was not sent
// yet.
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

// Content reads bytes of a file that Find returned.
func (s *Service) Content(ctx context.Context, a Attachment, offset, length int64) (io.ReadCloser, error) {
	r, err := s.d.Store.Open(ctx, a.contentKey(), offset, length)
	if err != nil {
		return nil, unreachable(err)
	}
	return r, nil
}

// thumbnailMax is far above the size of any thumbnail.
const thumbnailMax = 1 << 20

// Thumbnail returns the thumbnail of a file that Find returned, as a JPEG; errs.NotFound if there is none.
func (s *Service) Thumbnail(ctx context.Context, a Attachment) ([]byte, error) {
	if !a.Thumbnail {
		return nil, errs.Missing("thumbnail")
	}
	r, err := s.d.Store.Open(ctx, a.thumbnailKey(), 0, -1)
	if err != nil {
		return nil, unreachable(err)
	}
	defer func() { _ = r.Close() }() // only read
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

// List returns files that messages before a seq (0: from the end) have sent, newest first. next is where the next page
// begins; 0 on the last one. Only break-glass access gets retracted files.
func (s *Service) List(
	ctx context.Context, actor auth.Actor, appointmentID string, before int64, limit int,
) (page []Sent, next int64, err error) {
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

// places counts the uploads that are under way on this instance.
type places struct {
	most int

	mu  sync.Mutex // guards the rest
	all int
	of  map[int64]int // their number by user
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
