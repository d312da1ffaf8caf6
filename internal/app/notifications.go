package app

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"housecall/internal/appointment"
	"housecall/internal/calendar"
	"housecall/internal/config"
	"housecall/internal/jobs"
	"housecall/internal/mail"
	"housecall/internal/notify"
	"housecall/internal/postgres"
	"housecall/internal/ui"
)

// newJobs makes the job service; nothing runs before Start.
func newJobs(
	cfg config.Config, pool *postgres.Pool, registry prometheus.Registerer, log zerolog.Logger,
) (*jobs.Service, error) {
	return jobs.New(jobs.Deps{
		Pool: pool, Log: log, Registry: registry, Now: time.Now, Options: jobsOptions(cfg),
	})
}

// newMailer makes the sender of email: to a mail server, or to a folder if none is configured.
func newMailer(cfg config.Config) (mail.Sender, error) {
	if cfg.SMTPURL == "" {
		return mail.NewFolder(cfg.MailDir, cfg.Sender()), nil
	}
	server, err := mailServer(cfg)
	if err != nil {
		return nil, err
	}
	return mail.NewSMTP(server, cfg.Sender(), nil)
}

// newNotifications makes the service that notifies people by email.
func (a *App) newNotifications(s *services) (*notify.Service, error) {
	mailer, err := newMailer(a.cfg)
	if err != nil {
		return nil, err
	}
	return notify.New(notify.Deps{
		Jobs:         a.jobs,
		Mail:         mailer,
		Sealer:       s.sealer,
		Appointments: noticed{s},
		People:       people{s},
		Preferences:  s.preferences,
		Calendar:     invites{a.cfg},
		Standing:     standing{s},
		Links:        ui.Links{PublicURL: a.cfg.PublicURL},
		Now:          time.Now,
		Log:          a.log,
		Options:      notifyOptions(a.cfg),
	}), nil
}

// noticed returns what emails say about appointments: nothing clinical.
type noticed struct{ *services }

var _ notify.Appointments = noticed{}

// Appointment implements notify.Appointments.
func (n noticed) Appointment(ctx context.Context, id int64) (notify.Appointment, error) {
	a, err := n.appointments.ByID(ctx, id)
	if err != nil {
		return notify.Appointment{}, err
	}
	rules, err := n.schedules.Rules(ctx, n.pool, a.Doctor.ID)
	if err != nil {
		return notify.Appointment{}, err
	}
	out := withoutReasons(a, rules[a.Doctor.ID].TimeZone)
	out.Moved, err = n.appointments.LastMoved(ctx, n.pool, a.ID, a.Version)
	return out, err
}

func withoutReasons(a appointment.Appointment, zone string) notify.Appointment {
	return notify.Appointment{
		ID: a.ID, PublicID: a.PublicID, Version: a.Version, Status: a.Status, UpdatedAt: a.UpdatedAt,
		StartsAt: a.StartsAt, EndsAt: a.EndsAt, TimeZone: zone,
		PatientID: a.Patient.ID, PatientName: a.Patient.Name, DoctorID: a.Doctor.ID, DoctorName: a.Doctor.Name,
	}
}

// told turns what happens to appointments into notifications.
type told struct {
	notifications *notify.Service
	services      *services
}

var _ appointment.Notifications = told{}

// kinds says which mail is sent for a move of an appointment; "" for none.
var kinds = map[appointment.Move]notify.Kind{
	appointment.MoveBook:       notify.RequestReceived,
	appointment.MoveConfirm:    notify.Confirmed,
	appointment.MoveReject:     notify.Rejected,
	appointment.MoveCancel:     notify.Cancelled,
	appointment.MoveReschedule: notify.Rescheduled,
	appointment.MoveAskAnew:    notify.Rescheduled,
	appointment.MoveExpire:     notify.Expired,
	appointment.MoveHandOver:   notify.HandedOver,
	appointment.MoveAccept:     notify.Confirmed,
	appointment.MovePropose:    "", // this and the next three are told by proposalOf
	appointment.MoveDecline:    "",
	appointment.MoveWithdraw:   "",
	appointment.MoveLapse:      "",
	appointment.MoveComplete:   "", // this and the next only record whether a past appointment took place
	appointment.MoveNoShow:     "",
}

// Moved implements appointment.Notifications.
func (t told) Moved(ctx context.Context, tx *postgres.Tx, n appointment.Notification) error {
	a := withoutReasons(n.Appointment, "")
	a.WasBooked, a.FormerDoctorID = n.Before == appointment.Booked, n.FormerDoctor
	a.FormerStart, a.FormerEnd = n.FormerStart, n.FormerEnd
	if n.FormerDoctor != 0 {
		rules, err := t.services.schedules.Rules(ctx, tx, n.FormerDoctor)
		if err != nil {
			return err
		}
		a.FormerZone = rules[n.FormerDoctor].TimeZone
	}
	if p, ok := proposalOf(n); ok {
		if err := t.notifications.Proposed(ctx, tx, a, p); err != nil {
			return err
		}
	}
	kind := kindOf(n)
	if kind == "" {
		return nil
	}
	if n.Before == appointment.Pending { // an earlier release made booked ones PENDING when another time was asked for
		last, ok, err := t.services.appointments.LastBooked(ctx, tx, a.ID, a.Version)
		if err != nil {
			return err
		}
		if a.WasBooked = ok; ok {
			a.GoneStart, a.GoneEnd = &last.StartsAt, &last.EndsAt
		}
	}
	return t.notifications.Moved(ctx, tx, kind, a, n.By)
}

// kindOf is the mail for a move; "" for none.
func kindOf(n appointment.Notification) notify.Kind {
	switch {
	case n.Before == "" && n.Status == appointment.Booked:
		return notify.Confirmed
	case n.Action == appointment.MoveConfirm && n.Before == appointment.Booked:
		return notify.Rescheduled
	case n.Action == appointment.MoveAskAnew && n.Proposal != nil:
		return ""
	}
	return kinds[n.Action]
}

// fates say how moves end a proposal that nobody accepts. A move that is not here tells what came instead by itself.
var fates = map[appointment.Move]notify.Fate{
	appointment.MoveDecline:  notify.Declined,
	appointment.MoveWithdraw: notify.Withdrawn,
	appointment.MoveLapse:    notify.Lapsed,
	appointment.MoveHandOver: notify.Passed,
}

// proposalOf returns the proposal that a move makes or ends, if there is something to tell about it.
func proposalOf(n appointment.Notification) (notify.Proposal, bool) {
	p, fate := n.Proposal, notify.Open
	if p == nil {
		p, fate = n.Settled, fates[n.Action]
	}
	if p == nil || n.Proposal == nil && fate == notify.Open {
		return notify.Proposal{}, false
	}
	return notify.Proposal{
		StartsAt: p.StartsAt, EndsAt: p.EndsAt, ByPatient: p.ByPatient(), AnswerBy: p.AnswerBy, Fate: fate,
	}, true
}

// Offered implements appointment.Notifications.
func (t told) Offered(ctx context.Context, tx *postgres.Tx, o appointment.Offer) error {
	return t.notifications.WaitlistOffer(ctx, tx, notify.Offer{
		ID: o.HoldID, PatientID: o.PatientID, DoctorName: o.Doctor.Name, TimeZone: o.TimeZone,
		StartsAt: o.StartsAt, Expires: o.ExpiresAt,
	})
}

// people finds the recipients of mails among the accounts.
type people struct{ *services }

var _ notify.People = people{}

// Addressee implements notify.People.
func (p people) Addressee(ctx context.Context, userID int64) (notify.Addressee, error) {
	c, err := p.accounts.Contact(ctx, p.pool, userID)
	if err != nil {
		return notify.Addressee{}, err
	}
	return notify.Addressee{
		ID: c.ID, UserID: c.PublicID, Name: c.Name, Email: c.Email, Verified: c.Verified, Active: c.Active,
	}, nil
}

// standing tells whether what an email links to is still valid.
type standing struct{ *services }

var _ notify.Standing = standing{}

// Stands implements notify.Standing.
func (s standing) Stands(ctx context.Context, kind notify.Kind, key string) (bool, error) {
	ask, ok := s.questions()[kind]
	if !ok {
		return false, fmt.Errorf("no way to tell whether the link in an email of kind %q is still valid", kind)
	}
	return ask(ctx, key)
}

// questions says whom to ask, for each kind of mail whose link expires.
func (s standing) questions() map[notify.Kind]func(ctx context.Context, key string) (bool, error) {
	return map[notify.Kind]func(ctx context.Context, key string) (bool, error){
		notify.Invitation:    s.accounts.InvitationStands,
		notify.Enrolled:      s.accounts.ResetStands,
		notify.PasswordReset: s.accounts.ResetStands,
		notify.VerifyEmail:   s.accounts.VerificationStands,
		notify.WaitlistOffer: s.appointments.OfferStands,
	}
}

// invites makes the calendar parts of emails.
type invites struct{ cfg config.Config }

var _ notify.Calendar = invites{}

// Message implements notify.Calendar.
func (i invites) Message(method string, a notify.Appointment, recipient notify.Addressee) ([]byte, error) {
	other := a.DoctorName
	if recipient.ID != a.PatientID {
		other = a.PatientName
	}
	link, description := ui.Links{PublicURL: i.cfg.PublicURL}.Appointment(a.PublicID), ""
	if method == calendar.Request {
		// Names stand here as they are: in parameters, some of their characters would be misread.
		description = fmt.Sprintf("For %s, with %s, at %s.\nTo change or cancel the appointment, sign in: %s\n"+
			"Answers to this invitation are not read.", recipient.Name, other, organizer(i.cfg).Name, link)
	}
	return calendar.Message(method, calendar.Event{
		UID: calendar.UID(a.PublicID), Sequence: a.Version, Stamp: a.UpdatedAt, StartsAt: *a.StartsAt, EndsAt: *a.EndsAt,
		Summary: "Appointment with " + other, URL: link, Organizer: organizer(i.cfg),
		Description: description,
		Attendees:   []calendar.Party{{Name: recipient.Name, Email: recipient.Email}}, Cancelled: method == calendar.Cancel,
	})
}
