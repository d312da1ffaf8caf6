package doctor

import (
	"context"
	"fmt"
	"time"

	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
	"housecall/internal/schedule"
)

// Inviter makes the user behind a doctor; account implements it.
type Inviter interface {
	// Invite makes a user who sets their password with a one-time link. Its token is shown once and only its hash is kept.
	Invite(ctx context.Context, tx *postgres.Tx, by auth.Actor, n auth.Newcomer) (auth.Account, auth.Link, error)
	// Enroll makes a user with a generated password, which they must change. It is shown once and only its hash is kept.
	Enroll(ctx context.Context, tx *postgres.Tx, by auth.Actor, n auth.Newcomer) (
		made auth.Account, password string, err error,
	)
}

// Service is the only way to read and change doctors.
type Service struct {
	pool      *postgres.Pool
	schedules *schedule.Service
	inviter   Inviter
	options   Options
}

// Options are the configured values.
type Options struct {
	// PhoneRegion is the country of phone numbers without a country's code; see text.ReadPhone.
	PhoneRegion string
	// Collation is PostgreSQL's name of the order of the directory; "" is the database's own. See CheckCollation.
	Collation string
}

// Deps are what a Service works with.
type Deps struct {
	Pool      *postgres.Pool
	Schedules *schedule.Service
	Inviter   Inviter // nil if the service never creates doctors
	Options   Options
}

// New returns a Service.
func New(d Deps) *Service {
	return &Service{pool: d.Pool, schedules: d.Schedules, inviter: d.Inviter, options: d.Options}
}

// Resolve returns the doctor with a public id; errs.NotFound unless they have that role and are not disabled.
func (s *Service) Resolve(ctx context.Context, db postgres.DB, publicID string) (Doctor, error) {
	d, err := selectActive(ctx, db, publicID)
	if err != nil {
		return Doctor{}, err
	}
	all := []Doctor{d}
	err = s.addSchedules(ctx, db, all)
	return all[0], err
}

// Find is Resolve for callers that only need the id.
func (s *Service) Find(ctx context.Context, db postgres.DB, publicID string) (int64, error) {
	d, err := selectActive(ctx, db, publicID)
	return d.ID, err
}

// Named is Resolve for callers that only need a name, in one statement.
func (s *Service) Named(ctx context.Context, db postgres.DB, publicID string) (Brief, error) {
	d, err := selectActive(ctx, db, publicID)
	return d.brief(), err
}

// Briefs returns names by id, in one statement, including former doctors. Ids without a profile are left out.
func (s *Service) Briefs(ctx context.Context, db postgres.DB, ids ...int64) (map[int64]Brief, error) {
	out := make(map[int64]Brief, len(ids))
	if len(ids) == 0 {
		return out, nil
	}
	b := &postgres.Batch{}
	s.QueueBriefs(b, out, ids...)
	if err := postgres.Send(ctx, db, b); err != nil {
		return nil, err
	}
	return out, nil
}

// QueueBriefs is Briefs as part of the caller's batch: into is filled once that has been sent.
func (s *Service) QueueBriefs(b *postgres.Batch, into map[int64]Brief, ids ...int64) {
	queueByIDs(b, func(found []row) error {
		for _, r := range found {
			into[r.ID] = r.doctor().brief()
		}
		return nil
	}, ids)
}

// ByIDs returns profiles by id, in a constant number of statements, including former doctors, because past
// appointments still name them. Ids without a profile are left out.
func (s *Service) ByIDs(ctx context.Context, db postgres.DB, ids ...int64) (map[int64]Doctor, error) {
	if len(ids) == 0 {
		return map[int64]Doctor{}, nil
	}
	found, err := selectByIDs(ctx, db, ids)
	if err != nil {
		return nil, err
	}
	if err := s.addSchedules(ctx, db, found); err != nil {
		return nil, err
	}
	out := make(map[int64]Doctor, len(found))
	for _, d := range found {
		out[d.ID] = d
	}
	return out, nil
}

// Lookup is ByIDs outside a transaction.
func (s *Service) Lookup(ctx context.Context, ids ...int64) (map[int64]Doctor, error) {
	return s.ByIDs(ctx, s.pool, ids...)
}

// Lock locks the rows of doctors until the transaction ends, in the order of their keys; 0 is nobody. Bookings take
// this lock first, so that changes of a doctor's day happen one after another. It returns errs.NotFound if one of
// them has no profile.
func (s *Service) Lock(ctx context.Context, tx *postgres.Tx, ids ...int64) error {
	b := &postgres.Batch{}
	s.QueueLock(b, ids...)
	return postgres.Send(ctx, tx, b)
}

// QueueLock is Lock as part of the caller's batch, which must be in a transaction. What is queued after it is read
// with the rows locked.
func (s *Service) QueueLock(b *postgres.Batch, ids ...int64) { queueLock(b, ids) }

// LockNamed locks the row of an active doctor as Lock does and then reads who they are, in one round trip;
// errs.NotFound as in Resolve.
func (s *Service) LockNamed(ctx context.Context, tx *postgres.Tx, publicID string) (Brief, error) {
	d, err := lockActive(ctx, tx, publicID)
	return d.brief(), err
}

// Create creates an empty profile for a user who becomes a doctor. It does nothing if there is one.
func (s *Service) Create(ctx context.Context, tx *postgres.Tx, userID int64) error {
	return insertEmpty(ctx, tx, userID)
}

// Filter narrows the directory; empty fields do not.
type Filter struct {
	Text           string // found in name, specialization or qualification as text.Fold makes them
	Specialization string // the whole specialization, ignoring case
}

// Position is a doctor's place in the directory, which is sorted by name in a collation, and by public id.
type Position struct{ Name, UserID, Collation string }

// PositionOf returns the place of a doctor in the configured collation.
func (s *Service) PositionOf(d Doctor) Position {
	return Position{d.Name, d.UserID, s.options.Collation}
}

// Directory returns up to limit active doctors after a position (zero: from the start), and whether there are more. A
// position in a collation that is no longer the configured one is errs.Invalid: pages of two orders repeat doctors, and
// leave some out.
func (s *Service) Directory(
	ctx context.Context, f Filter, after Position, limit int,
) (page []Doctor, more bool, err error) {
	if after != (Position{}) && after.Collation != s.options.Collation {
		return nil, false, errs.InvalidField("query.cursor", "belongs to another sort order: start again with the first page")
	}
	page, err = selectDirectory(ctx, s.pool, s.options.Collation, f, after, limit+1)
	if err != nil {
		return nil, false, err
	}
	if more = len(page) > limit; more {
		page = page[:limit]
	}
	return page, more, s.addSchedules(ctx, s.pool, page)
}

// Newest returns up to limit active doctors, the newest user first, before a user's id (0: from the newest), and
// whether there are more.
func (s *Service) Newest(ctx context.Context, before int64, limit int) (page []Doctor, more bool, err error) {
	page, err = selectBefore(ctx, s.pool, before, limit+1)
	if err != nil {
		return nil, false, err
	}
	if more = len(page) > limit; more {
		page = page[:limit]
	}
	return page, more, s.addSchedules(ctx, s.pool, page)
}

// OfSpecialization returns all active doctors of a specialization (ignoring case) who can sign in, sorted by id.
func (s *Service) OfSpecialization(ctx context.Context, db postgres.DB, specialization string) ([]Brief, error) {
	found, err := selectOfSpecialization(ctx, db, specialization)
	out := make([]Brief, len(found))
	for i, d := range found {
		out[i] = d.brief()
	}
	return out, err
}

// Get is Resolve outside a transaction.
func (s *Service) Get(ctx context.Context, publicID string) (Doctor, error) {
	return s.Resolve(ctx, s.pool, publicID)
}

// NewDoctor is what an admin enters about a doctor they invite.
type NewDoctor struct {
	Name, Email string
	Profile
	TimeZone    string // "": the clinic's
	SlotMinutes int    // 0: the clinic's
}

func (n NewDoctor) newcomer() auth.Newcomer {
	return auth.Newcomer{Name: n.Name, Email: n.Email, Role: auth.Doctor}
}

// Invitation lets a doctor set their first password. Token is shown once.
type Invitation struct {
	Token     string
	ExpiresAt time.Time
}

// Invite creates a doctor with a profile and an invitation.
func (s *Service) Invite(ctx context.Context, by auth.Actor, n NewDoctor) (d Doctor, inv Invitation, err error) {
	d, err = s.enter(ctx, by, n, func(tx *postgres.Tx) (auth.Account, error) {
		made, link, err := s.inviter.Invite(ctx, tx, by, n.newcomer())
		inv = Invitation{Token: link.Token, ExpiresAt: link.Expires}
		return made, err
	})
	if err != nil {
		return Doctor{}, Invitation{}, fmt.Errorf("invite a doctor: %w", err)
	}
	return d, inv, nil
}

// Enroll creates a doctor with a profile and a secret password, which is shown only once and which they must change
// first.
func (s *Service) Enroll(ctx context.Context, by auth.Actor, n NewDoctor) (d Doctor, password string, err error) {
	d, err = s.enter(ctx, by, n, func(tx *postgres.Tx) (auth.Account, error) {
		made, secret, err := s.inviter.Enroll(ctx, tx, by, n.newcomer())
		password = secret
		return made, err
	})
	if err != nil {
		return Doctor{}, "", fmt.Errorf("enroll a doctor: %w", err)
	}
	return d, password, nil
}

// enter creates a doctor for the user that makeUser creates in the same transaction, before anything else is locked.
func (s *Service) enter(
	ctx context.Context, by auth.Actor, n NewDoctor, makeUser func(tx *postgres.Tx) (auth.Account, error),
) (Doctor, error) {
	profile, err := n.normalize(s.options.PhoneRegion)
	if err != nil {
		return Doctor{}, err
	}
	var d Doctor
	err = s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		made, err := makeUser(tx)
		if err != nil {
			return err
		}
		if err := s.fill(ctx, tx, made.ID, profile, n); err != nil {
			return err
		}
		if d, err = s.Resolve(ctx, tx, made.PublicID); err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{Actor: by, Action: "doctor.create", Subject: made.PublicID})
	})
	return d, err
}

// fill writes what the admin entered into the new doctor's profile and schedule.
func (s *Service) fill(ctx context.Context, tx *postgres.Tx, id int64, p Profile, n NewDoctor) error {
	if err := insertEmpty(ctx, tx, id); err != nil {
		return err
	}
	if err := updateProfile(ctx, tx, id, 0, p); err != nil {
		return err
	}
	if n.TimeZone == "" && n.SlotMinutes == 0 {
		return nil
	}
	var c schedule.RuleChange
	if n.TimeZone != "" {
		c.TimeZone = &n.TimeZone
	}
	if n.SlotMinutes != 0 {
		c.SlotMinutes = &n.SlotMinutes
	}
	_, err := s.schedules.SetRules(ctx, tx, id, schedule.FirstVersion, c)
	return err
}

// Change changes a profile, by compare-and-swap on its version. Only the doctor and admins may call it; others get
// errs.NotFound.
func (s *Service) Change(ctx context.Context, by auth.Actor, publicID string, version int, c Change) (Doctor, error) {
	var d Doctor
	err := s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		var err error
		if d, err = s.mine(ctx, tx, by, publicID); err != nil {
			return err
		}
		p, err := c.apply(Profile{
			Specialization: d.Specialization, Qualification: d.Qualification, Experience: d.Experience, Phone: d.Phone,
		}).normalize(s.options.PhoneRegion)
		if err != nil {
			return err
		}
		if d.Version != version {
			return errs.ErrStale
		}
		if err := updateProfile(ctx, tx, d.ID, version, p); err != nil {
			return err
		}
		if d, err = s.Resolve(ctx, tx, publicID); err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{Actor: by, Action: "doctor.change", Subject: publicID})
	})
	return d, err
}

// mine resolves and locks a doctor whom the actor may change: doctors themselves, admins anyone.
func (s *Service) mine(ctx context.Context, tx *postgres.Tx, by auth.Actor, publicID string) (Doctor, error) {
	d, err := selectActive(ctx, tx, publicID)
	if err != nil {
		return Doctor{}, err
	}
	if by.Role != auth.Admin && by.ID != d.ID {
		return Doctor{}, errs.Missing("doctor")
	}
	return lockActive(ctx, tx, publicID)
}

func (s *Service) addSchedules(ctx context.Context, db postgres.DB, doctors []Doctor) error {
	ids := make([]int64, len(doctors))
	for i, d := range doctors {
		ids[i] = d.ID
	}
	rules, err := s.schedules.Rules(ctx, db, ids...)
	if err != nil {
		return err
	}
	for i := range doctors {
		r := rules[doctors[i].ID]
		doctors[i].TimeZone, doctors[i].SlotMinutes = r.TimeZone, r.SlotMinutes
	}
	return nil
}
