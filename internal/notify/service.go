package notify

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/rs/zerolog"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/jobs"
	"housecall/internal/mail"
	"housecall/internal/postgres"
)

// Options are the configured values.
type Options struct {
	// Domain is the domain of message ids.
	Domain string
	// Zone is the clinic's time zone.
	Zone *time.Location
	// Clinic is the clinic's name.
	Clinic string
}

// Deps are what a Service needs. Calendar may be nil: then no email has a calendar part.
type Deps struct {
	Jobs         *jobs.Service
	Mail         mail.Sender
	Sealer       *auth.Sealer
	Appointments Appointments
	People       People
	Preferences  Preferences
	Calendar     Calendar
	Standing     Standing
	Links        Links
	Now          func() time.Time
	Log          zerolog.Logger
	Options      Options
}

// Service queues emails and sends them.
type Service struct {
	jobs         *jobs.Service
	mail         mail.Sender
	sealer       *auth.Sealer
	appointments Appointments
	people       People
	preferences  Preferences
	calendar     Calendar
	inbox        Inbox
	standing     Standing
	links        Links
	options      Options
	now          func() time.Time
	log          zerolog.Logger
}

// New makes the service and registers its work with d.Jobs, which must not have been started.
func New(d Deps) *Service {
	s := &Service{
		jobs: d.Jobs, mail: d.Mail, sealer: d.Sealer, appointments: d.Appointments, people: d.People,
		preferences: d.Preferences, calendar: d.Calendar, standing: d.Standing, links: d.Links, options: d.Options,
		now: d.Now, log: d.Log,
	}
	// A mail server may take its time; the rest of the work takes no more than other work.
	jobs.HandleWithin(d.Jobs, mail.SendTimeout+time.Minute, s.sendMove)
	jobs.HandleWithin(d.Jobs, mail.SendTimeout+time.Minute, s.sendProposal)
	jobs.HandleWithin(d.Jobs, mail.SendTimeout+time.Minute, s.sendUser)
	jobs.HandleWithin(d.Jobs, mail.SendTimeout+time.Minute, s.sendEnrolled)
	return s
}

// Connect gives the service the inbox, which is made later because it notifies through the service in turn. Call it
// before the jobs start. Without an inbox, an email about unread messages counts those there were when it was queued.
func (s *Service) Connect(i Inbox) { s.inbox = i }

// Moved queues the emails about a move, in the transaction that makes it; a is the appointment after the move, actorID
// the user who made it, 0 for the system. An appointment that was confirmed, rescheduled or handed over gets its
// reminders too. Reminders of an earlier time, and emails that have not gone out yet, need not be withdrawn: they are
// judged when their turn comes.
func (s *Service) Moved(ctx context.Context, tx *postgres.Tx, kind Kind, a Appointment, actorID int64) error {
	if !kind.move() {
		return fmt.Errorf("notify: %q is not about a change of an appointment", kind)
	}
	for _, id := range recipients(kind, a, actorID) {
		m := moveArgs{
			MailKind: kind, Appointment: a.ID, PublicID: a.PublicID, Recipient: id, Edition: a.Version,
			Version: a.Version, WasBooked: a.WasBooked,
			Former: id == a.FormerDoctorID, Soonest: soonest(a, s.now()), ByPatient: actorID == a.PatientID,
			By: mover(a, actorID), Asked: kind == HandedOver && a.Status == appointment.Pending,
		}
		if m.Former && a.StartsAt != nil && a.EndsAt != nil {
			m.StartsAt, m.EndsAt, m.Zone = a.StartsAt.UTC(), a.EndsAt.UTC(), a.FormerZone
		}
		if a.FormerStart != nil && a.FormerEnd != nil {
			m.Was, m.WasEnd = a.FormerStart.UTC(), a.FormerEnd.UTC()
		}
		if a.GoneStart != nil && a.GoneEnd != nil {
			m.Gone, m.GoneEnd = a.GoneStart.UTC(), a.GoneEnd.UTC()
		}
		if err := s.jobs.InsertTx(ctx, tx, m, jobs.Terms{Once: true}); err != nil {
			return err
		}
	}
	confirmed := kind == Confirmed || kind == Rescheduled || kind == HandedOver
	if confirmed && a.Status == appointment.Booked && a.StartsAt != nil {
		return s.remind(ctx, tx, a)
	}
	return nil
}

// remind queues the reminders that are not due yet.
func (s *Service) remind(ctx context.Context, tx *postgres.Tx, a Appointment) error {
	start := a.StartsAt.UTC()
	for _, kind := range kindsWith(func(t traits) bool { return t.ahead != 0 }) {
		due := start.Add(-kind.traits().ahead)
		if !due.After(s.now()) {
			continue
		}
		for _, id := range []int64{a.PatientID, a.DoctorID} {
			m := moveArgs{
				MailKind: kind, Appointment: a.ID, PublicID: a.PublicID, Recipient: id, Due: due, Version: a.Version,
				StartsAt: start,
			}
			if err := s.jobs.InsertTx(ctx, tx, m, jobs.Terms{At: due, Once: true, Urgent: kind.Urgent()}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Invitation queues the email with which an invited user chooses a password. The token is sealed until it goes out.
func (s *Service) Invitation(ctx context.Context, tx *postgres.Tx, userID int64, l auth.Link) error {
	return s.queue(ctx, tx, userArgs{MailKind: Invitation, User: userID, Ref: ref(l.Token)},
		letter{Token: l.Token, Expires: l.Expires})
}

// Enrolled queues the email with which a user whom the clinic has given a password chooses their own.
func (s *Service) Enrolled(ctx context.Context, tx *postgres.Tx, userID int64, l auth.Link) error {
	u := enrolledArgs{MailKind: Enrolled, User: userID, Ref: ref(l.Token)}
	var err error
	if u.Sealed, err = s.seal(letter{Token: l.Token, Expires: l.Expires}); err != nil {
		return err
	}
	return s.jobs.InsertTx(ctx, tx, u, jobs.Terms{Once: true, Urgent: Enrolled.Urgent()})
}

// PasswordReset queues the email with which a user chooses another password.
func (s *Service) PasswordReset(ctx context.Context, tx *postgres.Tx, userID int64, l auth.Link) error {
	return s.queue(ctx, tx, userArgs{MailKind: PasswordReset, User: userID, Ref: ref(l.Token)},
		letter{Token: l.Token, Expires: l.Expires})
}

// VerifyEmail queues the email that verifies an address, to that address, which need not be the account's yet.
func (s *Service) VerifyEmail(ctx context.Context, tx *postgres.Tx, userID int64, address string, l auth.Link) error {
	return s.queue(ctx, tx, userArgs{MailKind: VerifyEmail, User: userID, Ref: ref(l.Token)},
		letter{Token: l.Token, Address: address, Expires: l.Expires})
}

// EmailChanged warns the address that an account had until now, or still has while a change is only requested.
func (s *Service) EmailChanged(ctx context.Context, tx *postgres.Tx, userID int64, oldAddress string) error {
	at := tx.Now().Format(time.RFC3339Nano)
	return s.queue(ctx, tx, userArgs{MailKind: EmailChanged, User: userID, Ref: ref(oldAddress, at)},
		letter{Address: oldAddress})
}

// Unread tells a user, once per absence (identified by its beginning), that there are unread messages.
func (s *Service) Unread(
	ctx context.Context, tx *postgres.Tx, userID int64, absence time.Time, conversations int,
) error {
	name := ref(strconv.FormatInt(userID, 10), absence.UTC().Format(time.RFC3339Nano))
	return s.queue(ctx, tx, userArgs{MailKind: Unread, User: userID, Ref: name}, letter{Conversations: conversations})
}

// Offer is a time that has become free and is kept for a waiting patient until it expires.
type Offer struct {
	ID         string
	PatientID  int64
	DoctorName string
	TimeZone   string // the doctor's, an IANA name
	StartsAt   time.Time
	Expires    time.Time
}

// WaitlistOffer tells a waiting patient of an offer, once.
func (s *Service) WaitlistOffer(ctx context.Context, tx *postgres.Tx, o Offer) error {
	return s.queue(ctx, tx, userArgs{MailKind: WaitlistOffer, User: o.PatientID, Ref: ref(o.ID)}, letter{
		Offer: o.ID, Doctor: o.DoctorName, Zone: o.TimeZone, StartsAt: o.StartsAt, Expires: o.Expires,
	})
}

func (s *Service) queue(ctx context.Context, tx *postgres.Tx, u userArgs, l letter) (err error) {
	if u.Sealed, err = s.seal(l); err != nil {
		return err
	}
	return s.jobs.InsertTx(ctx, tx, u, jobs.Terms{Once: true, Urgent: u.MailKind.Urgent()})
}
