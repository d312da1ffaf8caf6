package conversation

import (
	"context"

	"housecall/internal/appointment"
	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
	"housecall/internal/text"
)

// Refusals of a change that the state of the appointment forbids; whyNot beside them is the reason, as in hello.
var (
	errNotOpen    = errs.New(errs.Conflict, "not_open", "This conversation is not open, so it cannot be closed.")
	errCannotOpen = errs.New(errs.Conflict, "cannot_open",
		"This conversation cannot be opened again, because its appointment no longer allows messages.")
)

// maxReason bounds the reason for closing a conversation and for break-glass access, in characters.
const maxReason = 500

// Close closes a conversation for its doctor, with a system event that both sides see; reason may be empty. One that is
// closed already stays as it is, and one that is not open for another reason is 409 not_open. Nothing lands after it:
// the committer judges under the same lock.
func (s *Service) Close(ctx context.Context, actor auth.Actor, publicID, reason string) (View, error) {
	reason, err := text.Rule{Max: maxReason}.Field("body.reason", reason)
	if err != nil {
		return View{}, err
	}
	err = s.d.Pool.InTx(ctx, func(tx *postgres.Tx) error {
		a, closed, err := s.hold(ctx, tx, actor, publicID)
		if err != nil || !closed.At.IsZero() {
			return err
		}
		if can, _, why := a.Reply(tx.Now(), s.d.Options.FollowUp, closed); !can {
			return errNotOpen.With("whyNot", why)
		}
		if _, err := setClosed(ctx, tx, a.ID, closedByDoctor); err != nil {
			return err
		}
		return s.note(ctx, tx, actor, a,
			change{"conversation.close", withReason("The doctor closed this conversation.", reason)})
	})
	if err != nil {
		return View{}, err
	}
	return s.State(ctx, actor, publicID)
}

// Reopen opens a closed conversation again for its doctor, while the appointment allows messages: otherwise it is 409
// cannot_open. An open one stays as it is.
func (s *Service) Reopen(ctx context.Context, actor auth.Actor, publicID string) (View, error) {
	err := s.d.Pool.InTx(ctx, func(tx *postgres.Tx) error {
		a, closed, err := s.hold(ctx, tx, actor, publicID)
		if err != nil {
			return err
		}
		if can, _, why := a.Reply(tx.Now(), s.d.Options.FollowUp, appointment.Closing{}); !can {
			return errCannotOpen.With("whyNot", why)
		}
		if closed.At.IsZero() {
			return nil
		}
		if _, err := setOpen(ctx, tx, a.ID, ""); err != nil {
			return err
		}
		return s.note(ctx, tx, actor, a, change{"conversation.open", "The doctor reopened this conversation."})
	})
	if err != nil {
		return View{}, err
	}
	return s.State(ctx, actor, publicID)
}

// hold locks an appointment for its doctor, then its conversation: in the order in which everyone who changes a status
// does.
func (s *Service) hold(ctx context.Context, tx *postgres.Tx, actor auth.Actor, publicID string) (
	a appointment.Appointment, closed appointment.Closing, err error,
) {
	if a, err = s.d.Appointments.Attended(ctx, tx, actor, publicID); err != nil {
		return a, closed, err
	}
	closed, err = lockConversation(ctx, tx, a.ID)
	return a, closed, err
}

// change is what was done to a conversation: as the audit trail names it, and as its participants read it.
type change struct{ action, text string }

// note leaves an audit row and says in the conversation what was done to it.
func (s *Service) note(
	ctx context.Context, tx *postgres.Tx, actor auth.Actor, a appointment.Appointment, c change,
) error {
	err := audit.Record(ctx, tx, audit.Event{Actor: actor, Action: c.action, Subject: a.PublicID, PatientID: a.Patient.ID})
	if err != nil {
		return err
	}
	return s.d.Log.Append(ctx, tx, a.ID, c.text)
}

// withReason adds a reason, if there is one that can be seen.
func withReason(sentence, reason string) string {
	if text.Blank(reason) {
		return sentence
	}
	return sentence + " Reason: " + reason
}
