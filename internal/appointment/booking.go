package appointment

import (
	"context"
	"errors"
	"strconv"
	"time"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
	"housecall/internal/schedule"
	"housecall/internal/text"
)

// Booking is a request for an appointment. Doctor and Patient are public ids; a patient leaves Patient empty, a
// doctor may leave Doctor empty. Specialization, instead of Doctor, means any doctor who has it. A nil StartsAt asks
// for any time. HoldID is one of the actor's own holds as a patient, which determines the doctor and the time.
type Booking struct {
	Doctor, Patient, Specialization string
	HoldID                          string
	StartsAt                        *time.Time
	Reason                          string
	// Booked asks for an appointment that nobody has to confirm, whatever the doctor's rules say, as one of the older
	// APIs promised.
	Booked bool
	// Within says that the client left the time in this range to the caller, who chose StartsAt: an equal request sent
	// again may name another time. Nil if the client chose it.
	Within *schedule.Range
	// Unlimited lets a patient have any number of open requests without a time, one with each doctor, for clients that
	// cannot cancel any.
	Unlimited bool
}

// Book opens a request: patients for themselves, doctors for their own patients (see parties) with themselves, admins
// for anyone. The request holds its time from then on. If the doctor's rules say so, it is BOOKED at once. With a
// specialization, Book chooses the doctor with the fewest appointments on that day. Refusals: the 422 of the rule
// that the time breaks (see schedule.Check), and 409 slot_taken, slot_day_full or patient_busy, all with
// alternatives; 409 open_request_limit, upcoming_limit; 409 patient_unavailable if the patient was disabled in the
// meantime; 404 for a hold that is not the patient's or has expired. A request that comes twice makes one appointment,
// which is returned again, or 409 already_booked if it is more than a minute old, or names a reason of its own (see
// again).
func (s *Service) Book(ctx context.Context, actor auth.Actor, b Booking) (Appointment, error) {
	a, err := s.attempt(ctx, actor, b)
	if err != nil {
		return s.again(ctx, actor, b, err)
	}
	return a, nil
}

// reasonOf is the reason as it is kept.
func reasonOf(b Booking) (string, error) {
	return text.Rule{Max: MaxReason}.Field("body.reason", b.Reason)
}

func (s *Service) attempt(ctx context.Context, actor auth.Actor, b Booking) (Appointment, error) {
	reason, err := reasonOf(b)
	if err != nil {
		return Appointment{}, err
	}
	if b.HoldID != "" {
		if b, err = s.held(ctx, actor, b); err != nil {
			return Appointment{}, err
		}
	}
	b, p, err := s.parties(ctx, actor, b)
	if err != nil {
		return Appointment{}, err
	}
	o := opening{Booking: b, actor: actor, draft: Appointment{
		Status: Pending, StartsAt: utc(b.StartsAt), Reason: reason, Patient: Person{ID: p.ID, UserID: p.UserID, Name: p.Name},
	}}
	if b.Doctor == "" {
		return s.bookAny(ctx, o)
	}
	var a Appointment
	err = s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		d, err := s.doctors.LockNamed(ctx, tx, b.Doctor)
		if err != nil {
			return err
		}
		o.draft.Doctor = personOf(d)
		if o.rules, err = s.admit(ctx, tx, d.ID, p.ID); err != nil {
			return err
		}
		a, err = s.open(ctx, tx, o)
		return err
	})
	if err != nil {
		return Appointment{}, s.worded(ctx, err, wish{doctorID: o.draft.Doctor.ID, patientID: p.ID, startsAt: b.StartsAt})
	}
	return a, nil
}

// opening is a booking in progress, with the doctor's row locked. draft is the appointment so far, rules are its
// doctor's.
type opening struct {
	Booking
	actor auth.Actor
	draft Appointment
	rules schedule.Rules
}

// bookAny books with any doctor of a specialization.
func (s *Service) bookAny(ctx context.Context, o opening) (a Appointment, err error) {
	if o.StartsAt == nil {
		return a, errs.InvalidField("body.startsAt", "is required with a specialization: choose a free slot")
	}
	q := anyDoctor{specialization: o.Specialization, patientID: o.draft.Patient.ID, startsAt: *o.StartsAt}
	err = s.withAny(ctx, q, func(tx *postgres.Tx, d choice) error {
		o.draft.Doctor, o.rules = d.Person, d.rules
		if err := s.admitPatient(ctx, tx, &postgres.Batch{}, q.patientID); err != nil {
			return err
		}
		a, err = s.open(ctx, tx, o)
		return err
	})
	return a, err
}

// held fills in a booking from its hold. Any other fields must match the hold.
func (s *Service) held(ctx context.Context, actor auth.Actor, b Booking) (Booking, error) {
	h, err := holdOf(ctx, s.pool, actor.ID, b.HoldID, s.now())
	if err != nil {
		return b, err
	}
	switch {
	case b.Doctor != "" && b.Doctor != h.DoctorRef:
		return b, errs.InvalidField("body.doctorId", "does not match the hold")
	case b.StartsAt != nil && !b.StartsAt.Equal(h.StartsAt):
		return b, errs.InvalidField("body.startsAt", "does not match the hold")
	default:
		starts := h.StartsAt
		b.Doctor, b.Specialization, b.StartsAt = h.DoctorRef, "", &starts
	}
	return b, nil
}

// open makes the request. The transaction has locked the doctor's row and then the patient's requests (see admit),
// the order used everywhere.
func (s *Service) open(ctx context.Context, tx *postgres.Tx, o opening) (a Appointment, err error) {
	a = o.draft
	if first, found, err := s.sentBefore(ctx, tx, o); err != nil || found {
		return first, err
	}
	c := change{move: MoveBook, actor: o.actor, side: a.sideOf(o.actor)}
	if a.StartsAt != nil {
		if a, err = s.place(ctx, tx, o); err != nil {
			return a, err
		}
		if o.Booked || o.rules.AutoConfirm {
			a.Status = Booked
		}
	}
	if c.side == patientSide && !o.Unlimited {
		if err := s.limit(ctx, tx, a); err != nil {
			return a, err
		}
	}
	if a, err = insertNew(ctx, tx, a, o.askedAs()); err != nil {
		return a, err
	}
	if err := settleClaims(ctx, tx, o.rules, Appointment{}, a); err != nil {
		return a, err
	}
	return a, s.tell(ctx, tx, made{a: a, change: c, zone: o.rules.Location})
}

// place sets the request's end and makes room for it. A hold was checked against the rules when it was made.
func (s *Service) place(ctx context.Context, tx *postgres.Tx, o opening) (Appointment, error) {
	a, rules := o.draft, o.rules
	var slot schedule.Slot
	if o.HoldID != "" {
		h, err := holdOf(ctx, tx, a.Patient.ID, o.HoldID, s.now())
		if err != nil {
			return a, err // the hold expired while we waited
		}
		slot = schedule.Slot{StartsAt: h.StartsAt.UTC(), EndsAt: h.EndsAt.UTC()}
	} else {
		var err error
		if slot, err = s.bookable(ctx, tx, rules, ask{patientID: a.Patient.ID, startsAt: *a.StartsAt}); err != nil {
			return a, err
		}
	}
	if slot.StartsAt.Before(s.now()) {
		return a, errPast
	}
	a.StartsAt, a.EndsAt = &slot.StartsAt, &slot.EndsAt
	return a, s.makeRoom(ctx, tx, want{rules, a.Patient.ID, slot}, booking)
}

// insertNew stores a new request under a fresh public id.
func insertNew(ctx context.Context, tx *postgres.Tx, a Appointment, askedAs string) (Appointment, error) {
	for range 3 { // ids have 50 random bits: one collision is very unlikely, three in a row are impossible in practice
		a.PublicID = auth.NewPublicID(auth.PrefixAppointment)
		made, fresh, err := insert(ctx, tx, a, askedAs)
		if err != nil || fresh {
			return made, err
		}
	}
	return Appointment{}, errors.New("no free public id")
}

// limit refuses a patient who already has as many open requests, or upcoming appointments that nobody confirms, as
// one patient may have. It does not limit what others book for them.
func (s *Service) limit(ctx context.Context, tx *postgres.Tx, a Appointment) error {
	if a.Status == Pending {
		return s.limitRequests(ctx, tx, a.Patient.ID)
	}
	ahead, err := countBooked(ctx, tx, a.Patient.ID, s.now())
	if err != nil {
		return err
	}
	if ahead >= s.o.MaxUpcoming {
		return errs.New(errs.Conflict, "upcoming_limit", "There are already "+strconv.Itoa(ahead)+
			" upcoming appointments. Contact the clinic to book more.").With("limit", s.o.MaxUpcoming)
	}
	return nil
}

func (s *Service) limitRequests(ctx context.Context, tx *postgres.Tx, patientID int64) error {
	open, err := countRequests(ctx, tx, patientID, s.now())
	if err != nil {
		return err
	}
	return s.fewEnough(open)
}

// limitTimed refuses a time for a patient's request that had none if as many of their requests as allowed hold a time
// already: requests without a time may be unlimited (see Booking).
func (s *Service) limitTimed(ctx context.Context, tx *postgres.Tx, patientID int64) error {
	if err := lockRequests(ctx, tx, patientID); err != nil {
		return err
	}
	open, err := countTimed(ctx, tx, patientID, s.now())
	if err != nil {
		return err
	}
	return s.fewEnough(open)
}

func (s *Service) fewEnough(open int) error {
	if open >= s.o.MaxOpenRequests {
		return errs.New(errs.Conflict, "open_request_limit", "There are already "+strconv.Itoa(open)+
			" open requests. Wait for an answer, or cancel one of them.").With("limit", s.o.MaxOpenRequests)
	}
	return nil
}
