package chat

import (
	"context"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"housecall/internal/appointment"
	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
)

// Bounds of a broken glass.
const (
	minGlassReason = 10 // characters
	MinGlass       = 5 * time.Minute
	MaxGlass       = 4 * time.Hour
)

var errTakesPart = errs.New(errs.Conflict, "takes_part", "You take part in this conversation, so you need no other right to read it.")

// Glass is one time that an administrator opened a conversation of others to read it: for a reason that its participants
// see, until a time, and only as long as the session lasts in which he did it.
type Glass struct {
	ID          uuid.UUID
	Appointment string // public id
	Admin       string // public id
	AdminName   string
	Reason      string
	CreatedAt   time.Time
	ExpiresAt   time.Time
	EndedAt     *time.Time // before its time: by an administrator, or with the session

	key, room, admin, patient int64
	orphaned                  bool // its session is gone
}

// GlassStatus is where a Glass stands.
type GlassStatus string

// The statuses.
const (
	GlassActive  GlassStatus = "active"
	GlassExpired GlassStatus = "expired"
	GlassEnded   GlassStatus = "ended" // before it expired
)

// Status tells where it stands at a time.
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

// Reading is somebody's right to read a conversation.
type Reading struct {
	Appointment appointment.Appointment
	// Glass says that it is an administrator's, who broke the glass: he sees what was taken back, too.
	Glass bool
	// Until is when that ends by the clock.
	Until time.Time
}

// Readable gives a conversation to whoever may read it: its participants, and an administrator who broke the glass, as
// long as that lasts. Each time that he does leaves an audit row. For anyone else there is none (404).
func (s *Service) Readable(ctx context.Context, actor auth.Actor, publicID string) (Reading, error) {
	return s.reading(ctx, actor, publicID, "conversation.read", nil)
}

// reading is Readable; action and detail say in the audit row what an administrator reads.
func (s *Service) reading(ctx context.Context, actor auth.Actor, publicID, action string, detail map[string]any) (Reading, error) {
	a, err := s.d.Appointments.Find(ctx, actor, publicID)
	if err != nil {
		return Reading{}, err
	}
	if a.IsParticipant(actor.ID) {
		return Reading{Appointment: a}, nil
	}
	right, err := s.glassRight(ctx, a.ID, actor)
	if err != nil {
		return Reading{}, err
	}
	row := map[string]any{"glass": right.glass}
	for k, v := range detail {
		row[k] = v
	}
	// Before he sees anything: without the row there is no look.
	err = audit.Record(ctx, s.d.Pool, audit.Event{Actor: actor, Action: action, Subject: a.PublicID, PatientID: a.Patient.ID, Detail: row})
	return Reading{Appointment: a, Glass: true, Until: right.until}, err
}

// glassRight is an administrator's right to read a room now; without one the conversation is not there.
func (s *Service) glassRight(ctx context.Context, room int64, actor auth.Actor) (glassRight, error) {
	if actor.Role != auth.Admin {
		return glassRight{}, errs.Missing("appointment")
	}
	k := onlooker{room, actor.ID}
	rights, err := glassRights(ctx, s.d.Pool, []onlooker{k}, s.d.Now())
	if err != nil {
		return glassRight{}, err
	}
	right, ok := rights[k]
	if !ok {
		return glassRight{}, errs.Missing("appointment")
	}
	return right, nil
}

// BreakGlass opens a conversation to an administrator who takes no part in it, for a reason and a time. Its participants
// are told so, in the conversation and in the same transaction.
func (s *Service) BreakGlass(ctx context.Context, actor auth.Actor, publicID, reason string, lasts time.Duration) (Glass, error) {
	reason, err := checkGlass(actor, reason, lasts)
	if err != nil {
		return Glass{}, err
	}
	a, err := s.d.Appointments.Find(ctx, actor, publicID)
	if err != nil {
		return Glass{}, err
	}
	if a.IsParticipant(actor.ID) {
		return Glass{}, errTakesPart
	}
	now := s.d.Now().UTC().Truncate(time.Microsecond) // as PostgreSQL keeps it
	g := Glass{
		Appointment: a.PublicID, Admin: actor.UserID, AdminName: actor.Name, Reason: reason, CreatedAt: now, ExpiresAt: now.Add(lasts),
		room: a.ID, admin: actor.ID, patient: a.Patient.ID,
	}
	err = s.d.Pool.InTx(ctx, func(tx *postgres.Tx) error {
		if g.ID, err = insertGlass(ctx, tx, g, actor.Session); err != nil {
			return err
		}
		if err := recordGlass(ctx, tx, actor, "glass.break", g); err != nil {
			return err
		}
		until := g.ExpiresAt.In(s.zone).Format("Mon 2 Jan 2006, 15:04") + " (" + s.zone.String() + ")"
		return s.d.Log.Append(ctx, tx, a.ID,
			withReason("An administrator, "+g.AdminName+", opened this conversation to read it, until "+until+".", reason))
	})
	return g, err
}

// checkGlass applies the rules of a broken glass and gives the reason as it is kept.
func checkGlass(actor auth.Actor, reason string, lasts time.Duration) (string, error) {
	if actor.Role != auth.Admin {
		return "", errs.ErrForbidden
	}
	if lasts < MinGlass || lasts > MaxGlass {
		return "", errs.InvalidField("body.minutes", "must be 5 to 240")
	}
	reason, err := cleanReason(reason)
	if err == nil && (utf8.RuneCountInString(reason) < minGlassReason || isBlank(reason)) {
		err = errs.InvalidField("body.reason", "must have at least 10 characters: the participants are told why")
	}
	return reason, err
}

// EndGlass ends a broken glass before its time, one's own or another administrator's; one that is over stays as it is.
func (s *Service) EndGlass(ctx context.Context, actor auth.Actor, id uuid.UUID) (g Glass, err error) {
	if actor.Role != auth.Admin {
		return Glass{}, errs.ErrForbidden
	}
	err = s.d.Pool.InTx(ctx, func(tx *postgres.Tx) error {
		if g, err = lockGlass(ctx, tx, id); err != nil {
			return err
		}
		now := s.d.Now().UTC().Truncate(time.Microsecond)
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
		return s.d.Log.Append(ctx, tx, g.room, "The administrator "+g.AdminName+" no longer reads this conversation.")
	})
	return g, err
}

// Glasses lists all that administrators have broken, newest first, up to limit below the inner key before (0: from the
// newest); next is 0 with the last page.
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

// recordGlass leaves an audit row. The reason stands in the table and in the log; it may be clinical.
func recordGlass(ctx context.Context, tx *postgres.Tx, actor auth.Actor, action string, g Glass) error {
	return audit.Record(ctx, tx, audit.Event{
		Actor: actor, Action: action, Subject: g.Appointment, PatientID: g.patient,
		Detail: map[string]any{"glass": g.ID, "admin": g.Admin, "expiresAt": g.ExpiresAt},
	})
}

// Versions gives a message as it was sent, each correction of it, and its retraction, in their order and with the texts
// that they had: to an administrator who broke the glass, and to nobody else.
func (s *Service) Versions(ctx context.Context, actor auth.Actor, publicID string, seq int64) ([]Event, error) {
	r, err := s.reading(ctx, actor, publicID, "conversation.versions", map[string]any{"seq": seq})
	if err != nil {
		return nil, err
	}
	if !r.Glass {
		return nil, errs.Missing("message")
	}
	versions, err := messageVersions(ctx, s.d.Pool, r.Appointment.ID, seq)
	if err == nil && (len(versions) == 0 || versions[0].Seq != seq) {
		err = errs.Missing("message")
	}
	return versions, err
}
