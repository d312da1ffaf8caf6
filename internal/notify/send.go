package notify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"housecall/internal/appointment"
	"housecall/internal/errs"
	"housecall/internal/jobs"
	"housecall/internal/mail"
	"housecall/internal/text"
)

// sendMove sends an email about an appointment, unless it is no longer true, useful or wanted.
func (s *Service) sendMove(ctx context.Context, m moveArgs) error {
	a, err := s.appointments.Appointment(ctx, m.Appointment)
	if errs.KindOf(err) == errs.NotFound {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the appointment of an email: %w", err)
	}
	if !still(m, a, s.now()) {
		return nil
	}
	a = m.asHandedOver(a)
	to, ok, err := s.wanted(ctx, m.MailKind, m.Recipient, m.last(), m.Soonest)
	if err != nil || !ok {
		return err
	}
	v, err := s.viewOf(ctx, m, a, to)
	if err != nil {
		return err
	}
	side := "patient"
	switch {
	case m.Former:
		side = "former"
	case v.ForDoctor:
		side = "doctor"
	}
	msg := mail.Message{ID: s.messageID(string(m.MailKind), a.PublicID, fmt.Sprint(m.Version), side)}
	if msg.Method = method(m, a); msg.Method != "" && s.calendar != nil {
		if msg.Calendar, err = s.calendar.Message(msg.Method, m.inCalendars(msg.Method, a), to); err != nil {
			return fmt.Errorf("make the calendar part: %w", err)
		}
	}
	return s.post(ctx, m.MailKind, v, to, msg)
}

// asked reports whether the appointment was a request when it was handed over. What a job of an older release does not
// say is read from how it stands now.
func (m moveArgs) asked(a Appointment) bool {
	return m.Asked || m.MailKind == HandedOver && !m.Former && a.Status == appointment.Pending
}

// by says who made the move, to the reader of the email: see view.By.
func (m moveArgs) by(toPatient bool) string {
	switch {
	case m.By == byPatient && toPatient, m.By == byDoctor && !toPatient && !m.Former:
		return "you"
	case m.By == byPatient, m.By == byDoctor && toPatient:
		return "other"
	case m.By == byClinic:
		return "clinic"
	default:
		return ""
	}
}

// last is when the email stops being of use, zero for never.
func (m moveArgs) last() time.Time {
	if !m.MailKind.reminder() {
		return time.Time{}
	}
	return useless(m.MailKind, m.StartsAt)
}

// asHandedOver returns a as it was when its former doctor handed it over: they must not learn what happened to it
// afterwards.
func (m moveArgs) asHandedOver(a Appointment) Appointment {
	if !m.Former {
		return a
	}
	a.Version, a.StartsAt, a.EndsAt = m.Version, nil, nil
	if !m.StartsAt.IsZero() {
		a.StartsAt, a.EndsAt = &m.StartsAt, &m.EndsAt
	}
	if m.Zone != "" {
		a.TimeZone = m.Zone // they read times in their own
	}
	return a
}

// method is the METHOD of the calendar part, "" for none. If calendars may contain an appointment that is no longer
// booked, the email removes it. The email about the move that ended it may not have gone out, so all later ones remove
// it too.
func method(m moveArgs, a Appointment) string {
	switch {
	case m.MailKind.reminder() || a.StartsAt == nil || a.EndsAt == nil:
		return ""
	case m.Former:
		return off(m.WasBooked)
	case a.Status == appointment.Booked:
		return "REQUEST"
	case m.MailKind == HandedOver && m.Recipient == a.DoctorID:
		return "" // they never had it
	default:
		return off(m.WasBooked)
	}
}

// inCalendars returns a at the time that is taken out of calendars, if that is another.
func (m moveArgs) inCalendars(method string, a Appointment) Appointment {
	if method == "CANCEL" && !m.Gone.IsZero() {
		a.StartsAt, a.EndsAt = &m.Gone, &m.GoneEnd
	}
	return a
}

func off(wasBooked bool) string {
	if wasBooked {
		return "CANCEL"
	}
	return ""
}

// wanted returns the addressee of an email, and whether it is sent at all. The error is jobs.Later if it has to wait.
// An email that would be useless by then (from last on; zero: never) is not sent, and one that people must have before
// then (by soonest; zero: no such time) does not wait.
func (s *Service) wanted(
	ctx context.Context, k Kind, userID int64, last, soonest time.Time,
) (to Addressee, ok bool, err error) {
	to, err = s.people.Addressee(ctx, userID)
	if errs.KindOf(err) == errs.NotFound {
		return to, false, nil
	}
	if err != nil {
		return to, false, fmt.Errorf("read the addressee of an email: %w", err)
	}
	if !to.Active || !to.Verified && !k.Security() {
		return to, false, nil
	}
	if k.Security() {
		return to, true, nil
	}
	now := s.now()
	send, notBefore, err := s.preferences.Decide(ctx, userID, k, now)
	if err != nil {
		return to, false, fmt.Errorf("read the addressee's preferences: %w", err)
	}
	if !send {
		return to, false, nil
	}
	tooLate := soonest.After(now) && !notBefore.Before(soonest)
	if notBefore.After(now) && !tooLate {
		if !last.IsZero() && !notBefore.Before(last) {
			return to, false, nil
		}
		return to, false, jobs.Later(notBefore)
	}
	return to, true, nil
}

// readerZone is the zone in which a person reads times: the one they have chosen, or fallback.
func (s *Service) readerZone(ctx context.Context, userID int64, fallback *time.Location) (*time.Location, error) {
	zone, err := s.preferences.Zone(ctx, userID)
	if err != nil {
		return nil, fmt.Errorf("read the addressee's time zone: %w", err)
	}
	if zone == nil {
		return fallback, nil
	}
	return zone, nil
}

func (s *Service) viewOf(ctx context.Context, m moveArgs, a Appointment, to Addressee) (view, error) {
	v := view{
		Name: to.Name, Other: a.DoctorName, ForDoctor: to.ID == a.DoctorID, Former: m.Former,
		Pending:   a.Status == appointment.Pending,
		ByPatient: m.ByPatient, By: m.by(to.ID == a.PatientID),
		WasBooked: m.WasBooked, Asked: m.asked(a), Link: s.links.Appointment(a.PublicID),
	}
	if v.ForDoctor || v.Former {
		v.Other = a.PatientName
	}
	if v.Former {
		v.Link = s.links.Home() // it is no longer theirs
	}
	if a.StartsAt == nil {
		return v, nil
	}
	doctor := s.zoneOf(a.TimeZone)
	reader, err := s.readerZone(ctx, to.ID, doctor)
	if err != nil {
		return v, err
	}
	at(&v, *a.StartsAt, a.EndsAt, reader, doctor)
	if !m.Was.IsZero() && !m.Was.Equal(*a.StartsAt) {
		v.Was = timeOf(m.Was, m.WasEnd, reader, doctor)
	}
	return v, nil
}

// sendUser sends an email about something other than an appointment.
func (s *Service) sendUser(ctx context.Context, u userArgs) error {
	l, err := s.open(u.Sealed)
	if err != nil {
		return jobs.Dead("the email cannot be decrypted: the token secret that sealed it is no longer in use", err)
	}
	if !l.Expires.IsZero() && !s.now().Before(l.Expires) {
		return nil
	}
	if u.MailKind.Fleeting() {
		stands, err := s.standing.Stands(ctx, u.MailKind, l.Token+l.Offer) // a letter has one of them
		if err != nil {
			return fmt.Errorf("check whether an email's link still works: %w", err)
		}
		if !stands {
			return nil // withdrawn, used or replaced
		}
	}
	to, ok, err := s.wanted(ctx, u.MailKind, u.User, l.Expires, time.Time{})
	if err != nil || !ok {
		return err
	}
	asked := l.Address == to.Email // if not, the change may have happened by now
	if l.Address != "" {
		to.Email = l.Address
	}
	if u.MailKind != Invitation && u.MailKind != Enrolled && (u.MailKind == VerifyEmail || !to.Verified) {
		to.Name = "" // whoever created the account chose the name, and perhaps somebody else's address
	}
	if u.MailKind == Unread && s.inbox != nil {
		if l.Conversations, err = s.inbox.UnreadConversations(ctx, u.User); err != nil {
			return fmt.Errorf("count what is unread: %w", err)
		}
		if l.Conversations == 0 {
			return nil // they have been read in the meantime
		}
	}
	v, err := s.viewOfLetter(ctx, u, l, to)
	if err != nil {
		return err
	}
	v.Asked = asked
	if u.MailKind == Invitation || u.MailKind == Enrolled || u.MailKind == VerifyEmail && asked {
		v.UserID = to.UserID
	}
	return s.post(ctx, u.MailKind, v, to, mail.Message{ID: s.messageID(string(u.MailKind), u.Ref)})
}

// sendEnrolled sends the email to a new user with a password from the clinic.
func (s *Service) sendEnrolled(ctx context.Context, u enrolledArgs) error {
	return s.sendUser(ctx, userArgs(u))
}

func (s *Service) viewOfLetter(ctx context.Context, u userArgs, l letter, to Addressee) (view, error) {
	v := view{Name: to.Name, Other: l.Doctor, Token: l.Token, Count: l.Conversations, Link: s.linkOf(u.MailKind, l)}
	doctor := s.options.Zone
	if l.Zone != "" {
		doctor = s.zoneOf(l.Zone)
	}
	reader, err := s.readerZone(ctx, u.User, doctor)
	if err != nil {
		return v, err
	}
	if !l.Expires.IsZero() {
		v.Until = moment(l.Expires, reader)
	}
	if !l.StartsAt.IsZero() {
		at(&v, l.StartsAt, nil, reader, doctor)
	}
	return v, nil
}

func (s *Service) linkOf(k Kind, l letter) string {
	switch k {
	case Invitation:
		return s.links.Invitation(l.Token)
	case Enrolled, PasswordReset:
		return s.links.PasswordReset(l.Token)
	case VerifyEmail:
		return s.links.VerifyEmail(l.Token)
	case Unread:
		return s.links.Inbox()
	case WaitlistOffer:
		return s.links.Offer(l.Offer)
	default:
		return s.links.Home()
	}
}

// post words an email and hands it over.
func (s *Service) post(ctx context.Context, k Kind, v view, to Addressee, msg mail.Message) error {
	v.Home, v.Clinic = s.links.Home(), s.options.Clinic
	var err error
	if msg.Subject, msg.Text, msg.HTML, err = render(k, v); err != nil {
		return err
	}
	msg.To, msg.Date = mail.Address{Name: text.OneLine(to.Name), Email: to.Email}, s.now()
	err = s.mail.Send(ctx, msg)
	var refused *mail.Error
	switch {
	case err == nil:
		s.log.Debug().Str("kind", string(k)).Msg("email sent")
		return nil
	case errors.As(err, &refused) && refused.Permanent:
		return jobs.Dead(refused.Error(), err)
	case errors.As(err, &refused):
		return jobs.Because(refused.Error(), err)
	default:
		return fmt.Errorf("send an email: %w", err)
	}
}

// messageID is the same for every attempt to send an email, and reveals only its kind and the public id.
func (s *Service) messageID(parts ...string) string {
	return strings.Join(parts, ".") + "@" + s.options.Domain
}
