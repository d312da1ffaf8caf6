package appointment

import (
	"context"
	"time"

	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/doctor"
	"housecall/internal/errs"
	"housecall/internal/patient"
	"housecall/internal/postgres"
	"housecall/internal/schedule"
	"housecall/internal/text"
)

// Service is the only way to read and change appointments.
type Service struct {
	pool          *postgres.Pool
	schedule      *schedule.Service
	doctors       *doctor.Service
	patients      *patient.Service
	conversations Conversations
	notifications Notifications // nil: nobody is notified
	o             Options
	now           func() time.Time
}

// Options are the limits and times of booking.
type Options struct {
	Zone *time.Location // the clinic's, for the days of a search across doctors
	// HoldTTL is how long a time is kept while the patient fills in the form, OfferTTL how long it is kept for a
	// patient on the waiting list.
	HoldTTL, OfferTTL time.Duration
	// RequestTTL is how long a request without a time waits for an answer, CompleteAfter how long after its end a
	// booked appointment counts as completed.
	RequestTTL, CompleteAfter time.Duration
	// CancellationWindow is how long before the start a patient's right to cancel or move a booked appointment ends.
	CancellationWindow time.Duration
	// FollowUpWindow is how long a conversation stays open after completion.
	FollowUpWindow time.Duration
	// How many of these one patient may have at once: upcoming booked appointments, open requests, and holds.
	MaxUpcoming, MaxOpenRequests, MaxHolds int
}

// Deps are what a Service works with.
type Deps struct {
	Pool          *postgres.Pool
	Schedule      *schedule.Service
	Doctors       *doctor.Service
	Patients      *patient.Service
	Conversations Conversations
	Now           func() time.Time // nil: time.Now
	Options       Options
}

// New returns a Service.
func New(d Deps) *Service {
	s := &Service{
		pool: d.Pool, schedule: d.Schedule, doctors: d.Doctors, patients: d.Patients, conversations: d.Conversations,
		o: d.Options, now: d.Now,
	}
	if s.now == nil {
		s.now = time.Now
	}
	return s
}

// Connect returns the service its notifications. They cannot be passed to New because they need the service themselves.
func (s *Service) Connect(n Notifications) { s.notifications = n }

// Find returns an appointment to its participants and to admins; anyone else gets 404.
func (s *Service) Find(ctx context.Context, actor auth.Actor, publicID string) (Appointment, error) {
	a, err := byPublicID(ctx, s.pool, publicID)
	if err != nil {
		return Appointment{}, err
	}
	return a.visibleTo(actor)
}

// ByID returns an appointment by its internal id without checking any right. It is for packages that have checked the
// caller's right with Find and load the appointment again after a change.
func (s *Service) ByID(ctx context.Context, id int64) (Appointment, error) {
	return byID(ctx, s.pool, id)
}

// Attended returns an appointment to its doctor, who is about to decide something about it, and locks its row until
// the transaction ends, so that neither its status nor its doctor changes. Its patient gets 403, anyone else 404, and
// a doctor who is just leaving 409 doctor_unavailable.
func (s *Service) Attended(
	ctx context.Context, tx *postgres.Tx, actor auth.Actor, publicID string,
) (Appointment, error) {
	a, err := locked(ctx, tx, publicID)
	if err != nil {
		return Appointment{}, err
	}
	switch a.sideOf(actor) {
	case doctorSide: // their account may have changed while we waited for the row
		found, err := s.doctors.Briefs(ctx, tx, a.Doctor.ID)
		if err == nil && !found[a.Doctor.ID].Active {
			err = errDoctorGone
		}
		return a, err
	case patientSide:
		return Appointment{}, errs.ErrForbidden
	default:
		return Appointment{}, errs.Missing("appointment")
	}
}

// LastBooked returns the time for which an appointment was BOOKED last before the given version; ok is false if it
// never was.
func (s *Service) LastBooked(
	ctx context.Context, db postgres.DB, id int64, version int,
) (booked schedule.Slot, ok bool, err error) {
	found, err := lastBooked(ctx, db, id, version)
	if err != nil || len(found) == 0 {
		return booked, false, err
	}
	return schedule.Slot{StartsAt: found[0].StartsAt.UTC(), EndsAt: found[0].EndsAt.UTC()}, true, nil
}

// LastMoved returns the version of an appointment's last change of status, time or doctor up to the given version;
// what came after it only proposed another time.
func (s *Service) LastMoved(ctx context.Context, db postgres.DB, id int64, version int) (int, error) {
	found, err := lastMoved(ctx, db, id, version)
	if err != nil || len(found) == 0 {
		return 0, err
	}
	return found[0], nil
}

// OfferStands reports whether an offered time is still kept for its patient.
func (s *Service) OfferStands(ctx context.Context, holdID string) (bool, error) {
	return offerStands(ctx, s.pool, holdID, s.now())
}

// ByKey is Find by the internal id, which one of the older APIs uses.
func (s *Service) ByKey(ctx context.Context, actor auth.Actor, id int64) (Appointment, error) {
	a, err := byID(ctx, s.pool, id)
	if err != nil {
		return Appointment{}, err
	}
	return a.visibleTo(actor)
}

// Counts returns how many appointments of each status the actor may see (see List), of one doctor (a public id) or of
// all (""). A doctor may also see appointments in which they are the patient.
func (s *Service) Counts(ctx context.Context, actor auth.Actor, doctor string) (map[Status]int, error) {
	q := query{Filter: Filter{Doctor: doctor}}
	if actor.Role != auth.Admin {
		q.participant = actor.ID
	}
	return counts(ctx, s.pool, q)
}

// Filter narrows a list; zero fields do not. Doctor and Patient are public ids. From and To bound the start (To is
// exclusive), which leaves out requests without a time.
type Filter struct {
	Statuses        []Status
	From, To        time.Time
	Doctor, Patient string
	Order           Order
}

// Order is how a list is sorted. Requests without a time come last in the orders by time.
type Order string

// The orders. Appointments that are equal otherwise keep the order in which they were made (Latest: its reverse).
const (
	Newest  Order = ""          // by when they were made, newest first
	Soonest Order = "startsAt"  // by their time, earliest first
	Latest  Order = "-startsAt" // by their time, latest first
)

// Position is a place in a list: that of the appointment with this internal id and, in the orders by time, this start.
// The zero value is the beginning.
type Position struct {
	ID       int64
	StartsAt *time.Time
}

// position is an appointment's position in lists of an order.
func (o Order) position(a Appointment) Position {
	if o == Newest {
		return Position{ID: a.ID}
	}
	return Position{ID: a.ID, StartsAt: a.StartsAt}
}

// List is Page for the newest first, with internal ids below before (0: from the newest).
func (s *Service) List(
	ctx context.Context, actor auth.Actor, f Filter, before int64, limit int,
) (page []Appointment, more bool, err error) {
	f.Order = Newest
	return s.Page(ctx, actor, f, Position{ID: before}, limit)
}

// Page returns up to limit of the appointments that the actor may see, in the filter's order after a position, and
// whether there are more. Admins see all, others their own. An appointment that is moved while somebody turns pages may
// be missed, or come twice, in the orders by time.
func (s *Service) Page(
	ctx context.Context, actor auth.Actor, f Filter, after Position, limit int,
) (page []Appointment, more bool, err error) {
	q := query{Filter: f, after: after, limit: limit + 1}
	if actor.Role != auth.Admin {
		q.participant = actor.ID
	}
	if page, err = list(ctx, s.pool, q); err != nil {
		return nil, false, err
	}
	if more = len(page) > limit; more {
		page = page[:limit]
	}
	return page, more, s.recordRead(ctx, actor, page...)
}

// Get is Find for showing the whole appointment. It leaves an audit row when the clinic reads the appointment, and
// when someone reads the summary, which the clinic does not get.
func (s *Service) Get(ctx context.Context, actor auth.Actor, publicID string) (Appointment, error) {
	a, err := s.Find(ctx, actor, publicID)
	if err != nil {
		return Appointment{}, err
	}
	if a.sideOf(actor) == clinicSide {
		a.Summary = ""
	}
	if a.Summary != "" {
		err := audit.Record(ctx, s.pool,
			audit.Event{Actor: actor, Action: "appointment.summary", Subject: a.PublicID, PatientID: a.Patient.ID})
		return a, err
	}
	return a, s.recordRead(ctx, actor, a)
}

// recordRead leaves an audit row for each appointment that the actor reads without taking part, because its reason is
// about someone's health.
func (s *Service) recordRead(ctx context.Context, actor auth.Actor, all ...Appointment) error {
	var read []audit.Event
	for _, a := range all {
		if a.sideOf(actor) == clinicSide {
			read = append(read,
				audit.Event{Actor: actor, Action: "appointment.read", Subject: a.PublicID, PatientID: a.Patient.ID})
		}
	}
	return audit.Record(ctx, s.pool, read...)
}

// Views adds to each appointment what the actor sees of its conversation, in two statements for all of them.
func (s *Service) Views(ctx context.Context, actor auth.Actor, all ...Appointment) ([]View, error) {
	ids := make([]int64, len(all))
	for i, a := range all {
		ids[i] = a.ID
	}
	closed, err := s.conversations.Closings(ctx, s.pool, ids)
	if err != nil {
		return nil, err
	}
	unread, err := s.conversations.Unread(ctx, s.pool, actor.ID, ids)
	if err != nil {
		return nil, err
	}
	now, out := s.now(), make([]View, len(all))
	for i, a := range all {
		out[i].Appointment = a
		out[i].CanReply, out[i].ReplyUntil, out[i].WhyNot = a.Reply(now, s.o.FollowUpWindow, closed[a.ID])
		if a.IsParticipant(actor.ID) {
			n := unread[a.ID]
			out[i].Unread = &n
		}
	}
	return out, nil
}

// Step is one move in an appointment's history. Actor is empty for the system; StartsAt and EndsAt are the time after
// the move, ProposedStartsAt and ProposedEndsAt what was then proposed (nil: nothing).
type Step struct {
	Version          int
	At               time.Time
	Actor            Actor
	Action           string
	From, To         Status // From is empty for the first step
	StartsAt, EndsAt *time.Time
	Reason           string

	ProposedStartsAt, ProposedEndsAt *time.Time
}

// Actor is who made a move, as the participants may see them: those who acted for the clinic have a role but no name.
// Role is the one in which they acted, even if it has changed since.
type Actor struct {
	UserID, Name string
	Role         auth.Role
}

// History returns up to limit steps after a version (0: from the first), oldest first, and whether there are more, to
// anyone who may see the appointment.
func (s *Service) History(
	ctx context.Context, actor auth.Actor, publicID string, afterVersion, limit int,
) (page []Step, more bool, err error) {
	a, err := s.Get(ctx, actor, publicID)
	if err != nil {
		return nil, false, err
	}
	steps, err := history(ctx, s.pool, a.ID, afterVersion, limit+1)
	if err != nil {
		return nil, false, err
	}
	if more = len(steps) > limit; more {
		steps = steps[:limit]
	}
	page = make([]Step, len(steps))
	for i, st := range steps {
		page[i] = st.step()
	}
	return page, more, nil
}

// Confirmation accepts a request. StartsAt sets or moves the time (nil: as requested). Version is the one that the
// actor saw (0: any).
type Confirmation struct {
	StartsAt *time.Time
	Note     string
	Version  int
}

// Confirm makes a request BOOKED, for its doctor and admins, or moves a booked appointment to the other time for
// which its patient asked, or to a third one; the time that it had is given up in the same transaction, so it is no
// answer (422; Reject declines the other one). The time may be off the doctor's grid, but must be a whole minute, not
// in the past (422 slot_in_past) or beyond the booking horizon (slot_too_far), and must not overlap another claim (409
// slot_taken or patient_busy). Refusals about the time come with alternatives.
func (s *Service) Confirm(ctx context.Context, actor auth.Actor, publicID string, c Confirmation) (Appointment, error) {
	note, err := text.Rule{Max: MaxNote}.Field("body.note", c.Note)
	if err != nil {
		return Appointment{}, err
	}
	return s.change(ctx, publicID,
		change{move: MoveConfirm, actor: actor, startsAt: c.StartsAt, note: note, version: c.Version})
}

// Ending is a rejection or cancellation. Only a patient may leave Reason empty. Version is the one that the actor saw
// (0: any).
type Ending struct {
	Reason  string
	Version int
}

// Reject declines a request, for its doctor and admins. Of a booked appointment it declines the other time for which
// the patient asked; the appointment stands.
func (s *Service) Reject(ctx context.Context, actor auth.Actor, publicID string, e Ending) (Appointment, error) {
	return s.end(ctx, actor, publicID, MoveReject, e)
}

// Cancel cancels a request or a booked appointment, for both participants and admins. The patient can cancel a booked
// one until CancellationWindow before its start (409 too_late).
func (s *Service) Cancel(ctx context.Context, actor auth.Actor, publicID string, e Ending) (Appointment, error) {
	return s.end(ctx, actor, publicID, MoveCancel, e)
}

func (s *Service) end(ctx context.Context, actor auth.Actor, publicID string, m Move, e Ending) (Appointment, error) {
	reason, err := text.Rule{Max: MaxEndReason}.Field("body.reason", e.Reason)
	if err != nil {
		return Appointment{}, err
	}
	return s.change(ctx, publicID, change{move: m, actor: actor, reason: reason, version: e.Version})
}
