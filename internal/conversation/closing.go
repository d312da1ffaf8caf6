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

// Refusals to close or reopen a conversation; their whyNot gives the reason, as in hello.
var (
	errNotOpen    = errs.New(errs.Conflict, "not_open", "This conversation is not open, so it cannot be closed.")
	errCannotOpen = errs.New(errs.Conflict, "cannot_open",
		"This conversation cannot be opened again, because its appointment no longer allows messages.")
)

// maxReason bounds the reason for closing a conversation and for break-glass access, in characters.
const maxReason = 500

// Close closes a conversation on behalf of its doctor, with a system event that both sides see; reason may be empty.
// If the conversation is already closed, nothing changes; if it is not open for another reason, Close returns 409
// not_open. No message is committed afterwards, because the committer judges drafts under the same lock.
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

// Reopen reopens a closed conversation on behalf of its doctor. It returns 409 cannot_open if the appointment no
// longer allows messages. If the conversation is open, nothing changes.
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

// hold locks an appointment on behalf of its doctor, then its conversation: the lock order of every change of status.
func (s *Service) hold(ctx context.Context, tx *postgres.Tx, actor auth.Actor, publicID string) (
	a appointment.Appointment, closed appointment.Closing, err error,
) {
	if a, err = s.d.Appointments.Attended(ctx, tx, actor, publicID); err != nil {
		return a, closed, err
	}
	closed, err = lockConversation(ctx, tx, a.ID)
	return a, closed, err
}

// change describes a closing or reopening: the action for the audit trail, and the text that participants read.
type change struct{ action, text string }

// note records a change in the audit trail and in the conversation.
func (s *Service) note(
	ctx context.Context, tx *postgres.Tx, actor auth.Actor, a appointment.Appointment, c change,
) error {
	err := audit.Record(ctx, tx, audit.Event{Actor: actor, Action: c.action, Subject: a.PublicID, PatientID: a.Patient.ID})
	if err != nil {
		return err
	}
	return s.d.Log.Append(ctx, tx, a.ID, c.text)
}

// withReason adds a reason, if it is not blank.
func withReason(sentence, reason string) string {
	if text.Blank(reason) {
		return sentence
	}
	return sentence + " Reason: " + reason
}
