package notify

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"housecall/internal/auth"
	"housecall/internal/config"
	"housecall/internal/jobs"
	"housecall/internal/mail"
	"housecall/internal/postgres"
)

// Deps are what mails are made of and go through. Calendar may be nil: then none has a calendar part; so may Inbox: then
// a mail about unread messages says what was so when it was written.
type Deps struct {
	Jobs         *jobs.Service
	Mail         mail.Sender
	Sealer       *auth.Sealer
	Appointments Appointments
	People       People
	Preferences  Preferences
	Calendar     Calendar
	Inbox        Inbox
	Standing     Standing
	// Config tells where links lead. Domain is where message ids are made, Zone the clinic's time zone.
	Config config.Config
	Domain string
	Zone   *time.Location
	Now    func() time.Time
	Log    zerolog.Logger
}

// Service writes mails and sends them.
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
	links        links
	domain       string
	zone         *time.Location
	now          func() time.Time
	log          zerolog.Logger
}

// New makes the service and registers its work with d.Jobs, which must not have been started.
func New(d Deps) *Service {
	s := &Service{
		jobs: d.Jobs, mail: d.Mail, sealer: d.Sealer, appointments: d.Appointments, people: d.People, preferences: d.Preferences,
		calendar: d.Calendar, inbox: d.Inbox, standing: d.Standing, links: links{strings.TrimSuffix(d.Config.PublicURL, "/"), d.Config.Link}, domain: d.Domain, zone: d.Zone, now: d.Now, log: d.Log,
	}
	jobs.Handle(d.Jobs, s.sendMove)
	jobs.Handle(d.Jobs, s.sendUser)
	return s
}

// Moved writes the mails of a move in the transaction that makes it; a is the appointment after it, actorID who did it,
// 0 for the system. A confirmed, rescheduled or handed over appointment gets its reminders too. Those of a time that is no longer
// so, and mails that have not gone out yet, need not be withdrawn: they are judged when their turn comes.
func (s *Service) Moved(ctx context.Context, tx *postgres.Tx, kind Kind, a Appointment, actorID int64) error {
	if _, known := statusOf[kind]; !known || ahead[kind] != 0 {
		return fmt.Errorf("notify: %q is no move of an appointment", kind)
	}
	for _, id := range recipients(kind, a, actorID) {
		m := moveArgs{
			Notice: kind, Appointment: a.ID, Recipient: id, Edition: a.Version, Version: a.Version, WasBooked: a.WasBooked,
			Former: id == a.FormerDoctorID, Soonest: soonest(a), ByPatient: actorID == a.PatientID,
		}
		if m.Former && a.StartsAt != nil && a.EndsAt != nil {
			m.StartsAt, m.EndsAt = a.StartsAt.UTC(), a.EndsAt.UTC()
		}
		if err := s.jobs.InsertTx(ctx, tx, m, jobs.Options{Once: true}); err != nil {
			return err
		}
	}
	if (kind == Confirmed || kind == Rescheduled || kind == HandedOver) && a.Status == booked && a.StartsAt != nil {
		return s.remind(ctx, tx, a)
	}
	return nil
}

// remind writes the reminders that are still ahead.
func (s *Service) remind(ctx context.Context, tx *postgres.Tx, a Appointment) error {
	start := a.StartsAt.UTC()
	for _, kind := range []Kind{ReminderDay, ReminderHour} {
		due := start.Add(-ahead[kind])
		if !due.After(s.now()) {
			continue
		}
		for _, id := range []int64{a.PatientID, a.DoctorID} {
			m := moveArgs{Notice: kind, Appointment: a.ID, Recipient: id, Due: due, Version: a.Version, StartsAt: start}
			if err := s.jobs.InsertTx(ctx, tx, m, jobs.Options{At: due, Once: true, Urgent: kind.Urgent()}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Invitation writes the mail that lets an invited user choose a password. The token is sealed until it goes out.
func (s *Service) Invitation(ctx context.Context, tx *postgres.Tx, userID int64, token string, expires time.Time) error {
	return s.write(ctx, tx, Invitation, userID, ref(token), letter{Token: token, Expires: expires})
}

// PasswordReset writes the mail that lets a user choose another password.
func (s *Service) PasswordReset(ctx context.Context, tx *postgres.Tx, userID int64, token string, expires time.Time) error {
	return s.write(ctx, tx, PasswordReset, userID, ref(token), letter{Token: token, Expires: expires})
}

// VerifyEmail writes the mail that proves an address, to that address, which need not be the account's yet.
func (s *Service) VerifyEmail(ctx context.Context, tx *postgres.Tx, userID int64, address, token string, expires time.Time) error {
	return s.write(ctx, tx, VerifyEmail, userID, ref(token), letter{Token: token, Address: address, Expires: expires})
}

// EmailChanged warns the address that an account had until now, or still has while another is only wanted.
func (s *Service) EmailChanged(ctx context.Context, tx *postgres.Tx, userID int64, oldAddress string) error {
	at := tx.Now().Format(time.RFC3339Nano)
	return s.write(ctx, tx, EmailChanged, userID, ref(oldAddress, at), letter{Address: oldAddress})
}

// Unread tells a user once in each absence (named by its beginning) that messages wait for him.
func (s *Service) Unread(ctx context.Context, tx *postgres.Tx, userID int64, absence time.Time, conversations int) error {
	return s.write(ctx, tx, Unread, userID, ref(strconv.FormatInt(userID, 10), absence.UTC().Format(time.RFC3339Nano)),
		letter{Conversations: conversations})
}

// WaitlistOffer tells a waiting patient, once, of a time that has become free and is kept for him until expires.
func (s *Service) WaitlistOffer(
	ctx context.Context, tx *postgres.Tx, patientID int64, offerID string, doctorName, timeZone string, startsAt, expires time.Time,
) error {
	return s.write(ctx, tx, WaitlistOffer, patientID, ref(offerID),
		letter{Offer: offerID, Doctor: doctorName, Zone: timeZone, StartsAt: startsAt, Expires: expires})
}

func (s *Service) write(ctx context.Context, tx *postgres.Tx, kind Kind, userID int64, ref string, l letter) error {
	sealed, err := s.seal(l)
	if err != nil {
		return err
	}
	return s.jobs.InsertTx(ctx, tx, userArgs{Notice: kind, User: userID, Ref: ref, Sealed: sealed}, jobs.Options{Once: true, Urgent: kind.Urgent()})
}
