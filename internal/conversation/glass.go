package conversation

import (
	"context"
	"time"

	"github.com/google/uuid"

	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
	"housecall/internal/text"
)

// Bounds of break-glass access.
const (
	minGlassReason = 10 // characters
	MinGlass       = 5 * time.Minute
	MaxGlass       = 4 * time.Hour
)

var errTakesPart = errs.New(errs.Conflict, "takes_part",
	"You take part in this conversation, so you can read it without break-glass access.")

// Glass is break-glass access: the right of an administrator who takes no part in a conversation to read it, for a
// reason that its participants see, for a limited time, and no longer than the sign-in session in which they asked
// for it.
type Glass struct {
	ID          uuid.UUID
	Appointment string // public id
	Admin       string // public id
	AdminName   string
	Reason      string
	CreatedAt   time.Time
	ExpiresAt   time.Time
	EndedAt     *time.Time // when an administrator or the end of the session ended it early

	key, conversation, admin, patient int64
	orphaned                          bool // its sign-in session has ended
}

// GlassStatus says whether break-glass access is still valid.
type GlassStatus string

// The statuses.
const (
	GlassActive  GlassStatus = "active"
	GlassExpired GlassStatus = "expired"
	GlassEnded   GlassStatus = "ended" // before it expired
)

// Status returns the status at a time.
func (g Glass) Status(now time.Time) GlassStatus {
	switch {
	case g.EndedAt != nil && g.EndedAt.Before(g.ExpiresAt):
		return GlassEnded
	case !now.Before(g.ExpiresAt):
		return GlassExpired
	case g.orphaned:
		return GlassEnded
	}
	return GlassActive
}

// Observer is an administrator who reads a conversation in which they take no part.
type Observer struct{ Conversation, Admin int64 }

// access is the id of the Glass that lets an observer read, and when it expires.
type access struct {
	glass uuid.UUID
	until time.Time
}

// Access returns until when each of the given observers may read. Those whose access has ended are left out.
func (s *Service) Access(ctx context.Context, who []Observer) (map[Observer]time.Time, error) {
	found, err := accessOf(ctx, s.d.Pool, who, s.d.Now())
	if err != nil {
		return nil, err
	}
	out := make(map[Observer]time.Time, len(found))
	for o, a := range found {
		out[o] = a.until
	}
	return out, nil
}

// GlassRequest asks for break-glass access to the conversation of an appointment (a public id).
type GlassRequest struct {
	Appointment string
	Reason      string // 10 to 500 characters; the participants see it
	Lasts       time.Duration
}

// BreakGlass returns an administrator access to a conversation in which they take no part. A system event, in the same
// transaction, tells its participants.
func (s *Service) BreakGlass(ctx context.Context, actor auth.Actor, want GlassRequest) (Glass, error) {
	reason, err := want.check(actor)
	if err != nil {
		return Glass{}, err
	}
	a, err := s.d.Appointments.Find(ctx, actor, want.Appointment)
	if err != nil {
		return Glass{}, err
	}
	if a.IsParticipant(actor.ID) {
		return Glass{}, errTakesPart
	}
	now := s.now()
	g := Glass{
		Appointment: a.PublicID, Admin: actor.UserID, AdminName: actor.Name, Reason: reason, CreatedAt: now,
		ExpiresAt: now.Add(want.Lasts), conversation: a.ID, admin: actor.ID, patient: a.Patient.ID,
	}
	err = s.d.Pool.InTx(ctx, func(tx *postgres.Tx) error {
		if g.ID, err = insertGlass(ctx, tx, g, actor.Session); err != nil {
			return err
		}
		if err := recordGlass(ctx, tx, actor, "glass.break", g); err != nil {
			return err
		}
		zone := s.d.Options.Zone
		until := g.ExpiresAt.In(zone).Format("Mon 2 Jan 2006, 15:04") + " (" + zone.String() + ")"
		return s.d.Log.Append(ctx, tx, a.ID,
			withReason("An administrator, "+g.AdminName+", has opened this conversation to read it, until "+until+".", reason))
	})
	return g, err
}

// now is the current time, truncated to PostgreSQL's precision.
func (s *Service) now() time.Time { return s.d.Now().UTC().Truncate(time.Microsecond) }

// check applies the rules of break-glass access and returns the reason as it will be stored.
func (r GlassRequest) check(actor auth.Actor) (reason string, err error) {
	if actor.Role != auth.Admin {
		return "", errs.ErrForbidden
	}
	if r.Lasts < MinGlass || r.Lasts > MaxGlass {
		return "", errs.InvalidField("body.minutes", "must be 5 to 240")
	}
	return text.Rule{Min: minGlassReason, Max: maxReason}.Field("body.reason", r.Reason)
}

// EndGlass ends break-glass access early, the actor's own or another administrator's. Access that is already over
// does not change.
func (s *Service) EndGlass(ctx context.Context, actor auth.Actor, id uuid.UUID) (g Glass, err error) {
	if actor.Role != auth.Admin {
		return Glass{}, errs.ErrForbidden
	}
	err = s.d.Pool.InTx(ctx, func(tx *postgres.Tx) error {
		if g, err = lockGlass(ctx, tx, id); err != nil {
			return err
		}
		now := s.now()
		if g.Status(now) != GlassActive {
			return nil
		}
		g.EndedAt = &now
		if err := endGlass(ctx, tx, g, actor.ID); err != nil {
			return err
		}
		if err := recordGlass(ctx, tx, actor, "glass.end", g); err != nil {
			return err
		}
		return s.d.Log.Append(ctx, tx, g.conversation,
			"The administrator "+g.AdminName+" can no longer read this conversation.")
	})
	return g, err
}

// Glasses lists break-glass access past and present, newest first: up to limit entries whose internal key is below
// before (0: from the newest). Pass next as before to get the next page; it is 0 on the last.
func (s *Service) Glasses(ctx context.Context, before int64, limit int) (page []Glass, next int64, err error) {
	if page, err = listGlasses(ctx, s.d.Pool, before, limit+1); err != nil {
		return nil, 0, err
	}
	if len(page) > limit {
		page = page[:limit]
		next = page[limit-1].key
	}
	return page, next, nil
}

// recordGlass writes an audit row. The reason is left out of it, because it may be clinical; the table and the
// conversation have it.
func recordGlass(ctx context.Context, tx *postgres.Tx, actor auth.Actor, action string, g Glass) error {
	return audit.Record(ctx, tx, audit.Event{
		Actor: actor, Action: action, Subject: g.Appointment, PatientID: g.patient,
		Detail: map[string]any{"glass": g.ID, "admin": g.Admin, "expiresAt": g.ExpiresAt},
	})
}

// Versions returns a message as it was sent, its corrections and its retraction, in order and with their original
// texts. Only observers get them.
func (s *Service) Versions(ctx context.Context, actor auth.Actor, publicID string, seq int64) ([]Event, error) {
	r, err := s.judge(ctx, actor, publicID, look{"conversation.versions", map[string]any{"seq": seq}})
	if err != nil {
		return nil, err
	}
	if !r.Observer() {
		return nil, errs.Missing("message")
	}
	versions, err := messageVersions(ctx, s.d.Pool, r.Conversation(), seq)
	if err == nil && (len(versions) == 0 || versions[0].Seq != seq) {
		err = errs.Missing("message")
	}
	return versions, err
}
