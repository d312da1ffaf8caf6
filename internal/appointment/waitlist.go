package appointment

import (
	"context"
	"slices"
	"strconv"
	"time"

	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/doctor"
	"housecall/internal/errs"
	"housecall/internal/postgres"
	"housecall/internal/schedule"
)

const (
	// maxWaiting is how many waiting lists one patient may be on.
	maxWaiting = 10
	// maxWaitingDays is the largest number of days between the first and the last day of an entry.
	maxWaitingDays = 92
	// maxAsked is how many patients on a list are tried for one time. An attempt fails only if it loses a race, and
	// bookings have to wait for all of them.
	maxAsked = 10
)

// Waiting is a patient's entry on a doctor's waiting list. From and To are the first and the last day on which they
// could come (midnight UTC).
type Waiting struct {
	ID        string
	Doctor    Person
	Patient   Person
	From, To  time.Time
	CreatedAt time.Time
	Offer     *Hold // the time that is currently kept for them; nil: none
}

// Offer is a time that became free and is kept for a waiting patient.
type Offer struct {
	HoldID    string
	PatientID int64
	Doctor    Person
	TimeZone  string // the doctor's, IANA
	StartsAt  time.Time
	ExpiresAt time.Time
}

// Wait puts the patient on a doctor's waiting list. A time that becomes free on one of their days is offered to the
// first patient on the list, as a hold for OfferTTL, and then to the next. Refusals: 409 already_waiting,
// waiting_limit.
func (s *Service) Wait(ctx context.Context, actor auth.Actor, doctorID string, from, to time.Time) (Waiting, error) {
	d, err := s.doctors.Named(ctx, s.pool, doctorID)
	if err != nil {
		return Waiting{}, err
	}
	if _, err := s.patientOf(ctx, actor, actor.UserID); err != nil {
		return Waiting{}, err
	}
	row, err := s.join(ctx, actor, d, from, to)
	if err != nil {
		return Waiting{}, err
	}
	return row.waiting(personOf(d)), nil
}

// join adds the entry, with the doctor's row locked, because a doctor who leaves ends their waiting list.
func (s *Service) join(
	ctx context.Context, actor auth.Actor, d doctor.Brief, from, to time.Time,
) (row waitingRow, err error) {
	err = s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		if _, err := s.doctors.LockNamed(ctx, tx, d.UserID); err != nil {
			return err
		}
		rules, err := s.admit(ctx, tx, d.ID, actor.ID)
		if err != nil {
			return err
		}
		if err := waitingDays(rules.DateOf(s.now()), rules.DateOf(s.now().Add(rules.Horizon)), from, to); err != nil {
			return err
		}
		n, err := countWaiting(ctx, tx, actor.ID)
		if err != nil {
			return err
		}
		if n >= maxWaiting {
			return errs.New(errs.Conflict, "waiting_limit",
				"You are already on "+strconv.Itoa(n)+" waiting lists. Leave one of them first.").With("limit", maxWaiting)
		}
		id, err := insertWaiting(ctx, tx, waitingRow{
			DoctorID: d.ID, PatientID: actor.ID, FromDate: from, ToDate: to,
		})
		if err != nil {
			return err
		}
		found, err := waitingByID(ctx, tx, id, s.now())
		if err != nil {
			return err
		}
		row = found[0]
		return audit.Record(ctx, tx,
			audit.Event{Actor: actor, Action: "waitlist.join", Subject: d.UserID, PatientID: actor.ID})
	})
	if postgres.Constraint(err) == openWaiting {
		err = errs.New(errs.Conflict, "already_waiting",
			"You are already on this doctor's waiting list. Leave it to choose other days.")
	}
	return row, err
}

// waitingDays checks the days of an entry.
func waitingDays(today, last, from, to time.Time) error {
	switch {
	case from.Before(today):
		return errs.InvalidField("body.from", "must not be in the past")
	case from.After(last):
		return errs.InvalidField("body.from", "is too far ahead to be booked")
	case to.Before(from):
		return errs.InvalidField("body.to", "must not be earlier than from")
	case to.After(from.AddDate(0, 0, maxWaitingDays)):
		return errs.InvalidField("body.to", "must be at most "+strconv.Itoa(maxWaitingDays)+" days after from")
	}
	return nil
}

func (r waitingRow) waiting(d Person) Waiting {
	w := Waiting{
		ID: r.PublicID, Doctor: d, Patient: Person{ID: r.PatientID, UserID: r.PatientRef, Name: r.PatientName},
		From: r.FromDate, To: r.ToDate, CreatedAt: r.CreatedAt.UTC(),
	}
	if r.HoldID != nil {
		w.Offer = &Hold{
			ID: *r.HoldID, Doctor: d, StartsAt: r.OfferStartsAt.UTC(), EndsAt: r.OfferEndsAt.UTC(),
			ExpiresAt: r.OfferExpiresAt.UTC(), Offer: true,
		}
	}
	return w
}

// Queue returns up to limit entries of a doctor's waiting list, in order, after the key of an entry (0: from the
// first), and the key of the last one. The doctor and admins see all entries, patients only their own.
func (s *Service) Queue(
	ctx context.Context, actor auth.Actor, doctorID string, after int64, limit int,
) (page []Waiting, last int64, more bool, err error) {
	d, err := s.doctors.Named(ctx, s.pool, doctorID)
	if err != nil {
		return nil, 0, false, err
	}
	only, err := onlyOf(actor, d.ID)
	if err != nil {
		return nil, 0, false, err
	}
	found, err := queue(ctx, s.pool, queueQuery{entries{d.ID, only}, after, limit + 1}, s.now())
	if err != nil {
		return nil, 0, false, err
	}
	if more = len(found) > limit; more {
		found = found[:limit]
	}
	for _, r := range found {
		page = append(page, r.waiting(personOf(d)))
		last = r.ID
	}
	return page, last, more, nil
}

// onlyOf returns whose entries on a doctor's waiting list an actor may see and end; 0: everyone's.
func onlyOf(actor auth.Actor, doctorID int64) (int64, error) {
	switch {
	case actor.Role == auth.Patient:
		return actor.ID, nil
	case actor.Role == auth.Admin, actor.ID == doctorID:
		return 0, nil
	}
	return 0, errs.Missing("waiting list")
}

// Leave takes an entry off a doctor's waiting list, for its patient, the doctor and admins. The time it was offered
// goes to the next patient.
func (s *Service) Leave(ctx context.Context, actor auth.Actor, doctorID, id string) error {
	d, err := s.doctors.Named(ctx, s.pool, doctorID)
	if err != nil {
		return err
	}
	only, err := onlyOf(actor, d.ID)
	if err != nil {
		return err
	}
	return s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		if err := s.doctors.Lock(ctx, tx, d.ID); err != nil {
			return err
		}
		ended, err := endWaiting(ctx, tx, entries{d.ID, only}, id)
		if err != nil {
			return err
		}
		if len(ended) == 0 {
			return errs.Missing("waitlist entry")
		}
		offers, err := dropOffers(ctx, tx, ended[0])
		if err != nil {
			return err
		}
		if err := s.passOn(ctx, tx, offers...); err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{Actor: actor, Action: "waitlist.leave", Subject: d.UserID})
	})
}

// vacancy is a time that became free with the doctor whose rules these are. after is the queue entry that had it last
// (0: none yet), notFor the patient who has just released it. offer fills in the doctor.
type vacancy struct {
	rules            schedule.Rules
	doctor           Person
	after, notFor    int64
	startsAt, endsAt time.Time
}

func (v vacancy) slot() schedule.Slot { return schedule.Slot{StartsAt: v.startsAt, EndsAt: v.endsAt} }

// offerFreed offers the times that a move from read to a has freed.
func (s *Service) offerFreed(ctx context.Context, tx *postgres.Tx, rules schedule.Rules, read, a Appointment) error {
	for _, had := range read.held() {
		keeps := a.Doctor.ID == read.Doctor.ID && slices.ContainsFunc(a.held(), func(has schedule.Slot) bool {
			return has.StartsAt.Equal(had.StartsAt)
		})
		if keeps {
			continue
		}
		err := s.offer(ctx, tx, vacancy{
			rules: rules, notFor: read.Patient.ID, startsAt: had.StartsAt, endsAt: had.EndsAt,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// passOn offers the times of former offers to the next in the queue. It ignores holds that are not offers.
func (s *Service) passOn(ctx context.Context, tx *postgres.Tx, dropped ...holdRow) error {
	for _, h := range dropped {
		if h.WaitlistID == nil {
			continue
		}
		rules, err := s.rules(ctx, tx, h.DoctorID)
		if err != nil {
			return err
		}
		err = s.offer(ctx, tx, vacancy{
			rules: rules, after: *h.WaitlistID, notFor: h.PatientID, startsAt: h.StartsAt, endsAt: h.EndsAt,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// offer keeps the time for the first patient on the list who can take it, if it can be booked. When a patient gives
// up a time for one with another doctor, the first doctor's row is not locked; another booking may then be faster,
// and there is nothing to offer.
func (s *Service) offer(ctx context.Context, tx *postgres.Tx, v vacancy) error {
	expires := s.now().Add(s.o.OfferTTL)
	if !v.startsAt.After(expires) {
		return nil
	}
	for n := 0; n < maxAsked; n++ {
		next, err := nextWaiting(ctx, tx, v, s.now())
		if err != nil || len(next) == 0 {
			return err
		}
		v.after = next[0].ID
		if open, err := hasOffer(ctx, tx, next[0].ID, s.now()); err != nil {
			return err
		} else if open {
			continue
		}
		if v.doctor.ID == 0 {
			var ok bool
			if v.doctor, ok, err = s.offers(ctx, tx, v); err != nil || !ok {
				return err
			}
		}
		if made, err := s.offerTo(ctx, tx, v, next[0], expires); err != nil || made {
			return err
		}
	}
	return nil
}

// offerTo keeps the time for a waiting patient until the offer expires, unless they are not free then. Expired holds
// are removed first; the times of expired offers go to the next patient.
func (s *Service) offerTo(
	ctx context.Context, tx *postgres.Tx, v vacancy, to waitingEntry, expires time.Time,
) (made bool, err error) {
	w := want{rules: v.rules, patientID: to.PatientID, slot: v.slot()}
	expired, err := dropExpiredIn(ctx, tx, w, s.now())
	if err != nil {
		return false, err
	}
	h, made, err := newHold(ctx, tx, holdRow{
		DoctorID: v.rules.DoctorID, PatientID: to.PatientID, StartsAt: v.startsAt, EndsAt: v.endsAt, ExpiresAt: expires,
		WaitlistID: &to.ID,
	}, v.rules.Blocks(v.slot()))
	if err != nil {
		return false, err
	}
	if made && s.notifications != nil {
		err := s.notifications.Offered(ctx, tx, Offer{
			HoldID: h.HoldID, PatientID: h.PatientID, Doctor: v.doctor, TimeZone: v.rules.TimeZone,
			StartsAt: h.StartsAt.UTC(), ExpiresAt: h.ExpiresAt.UTC(),
		})
		if err != nil {
			return false, err
		}
	}
	return made, s.passOn(ctx, tx, expired...)
}

// offers returns the doctor, and whether they still offer the time: they must still be a doctor, and it must be one
// of their slots.
func (s *Service) offers(ctx context.Context, tx *postgres.Tx, v vacancy) (Person, bool, error) {
	found, err := s.doctors.Briefs(ctx, tx, v.rules.DoctorID)
	d := found[v.rules.DoctorID]
	if err != nil || !d.Active {
		return Person{}, false, err
	}
	slot, err := s.bookable(ctx, tx, v.rules, ask{startsAt: v.startsAt})
	if kind := errs.KindOf(err); kind == errs.Invalid || kind == errs.Conflict {
		return Person{}, false, nil
	}
	return personOf(d), slot.EndsAt.Equal(v.endsAt), err
}
