package chat

import (
	"context"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"housecall/internal/appointment"
	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
)

// Refusals of a move that the state of the appointment forbids; whyNot beside them is the reason, as in hello.
var (
	errNotOpen    = errs.New(errs.Conflict, "not_open", "The conversation is not open, so there is nothing to close.")
	errCannotOpen = errs.New(errs.Conflict, "cannot_open", "The appointment no longer lets anybody write, so its conversation cannot be opened.")
)

// maxReason bounds the reason of a closing and of a broken glass, in characters.
const maxReason = 500

// whyReadOnly is the reason for which an administrator who broke the glass cannot reply.
const whyReadOnly = "read_only"

// Conversation is the state of a conversation, as somebody who reads it sees it.
type Conversation struct {
	Appointment appointment.Appointment
	CanReply    bool
	ReplyUntil  time.Time // zero: no end by the clock
	WhyNot      string
	HeadSeq     int64
	Epoch       string
	Notice      string
	receipts    map[int64]cursors
}

// State gives the state of a conversation to whoever may read it.
func (s *Service) State(ctx context.Context, actor auth.Actor, publicID string) (Conversation, error) {
	r, err := s.Readable(ctx, actor, publicID)
	if err != nil {
		return Conversation{}, err
	}
	a := r.Appointment
	snap, err := readSnapshot(ctx, s.d.Pool, a.ID)
	if err != nil {
		return Conversation{}, err
	}
	c := Conversation{Appointment: a, HeadSeq: snap.head, Epoch: snap.epoch, Notice: s.d.Config.Notice(), receipts: snap.receipts}
	c.CanReply, c.ReplyUntil, c.WhyNot = a.Reply(s.d.Now(), s.d.Config.FollowUpWindow, snap.closing)
	if r.Glass {
		c.CanReply, c.WhyNot = readOnly(c.CanReply, c.WhyNot)
		c.ReplyUntil = time.Time{}
	}
	return c, nil
}

// readOnly is whether somebody who only reads may reply, and why not, where others could or not.
func readOnly(can bool, why string) (bool, string) {
	if can {
		why = whyReadOnly
	}
	return false, why
}

// CloseConversation closes a conversation for its doctor, with a system event that both sides see; reason may be empty.
// One that is closed already stays as it is, and one that is not open for another reason is 409 not_open. Nothing
// lands after it: the committer judges under the same lock.
func (s *Service) CloseConversation(ctx context.Context, actor auth.Actor, publicID, reason string) (Conversation, error) {
	reason, err := cleanReason(reason)
	if err != nil {
		return Conversation{}, err
	}
	err = s.d.Pool.InTx(ctx, func(tx *postgres.Tx) error {
		a, closed, err := s.holdConversation(ctx, tx, actor, publicID)
		if err != nil || !closed.At.IsZero() {
			return err
		}
		if can, _, why := a.Reply(tx.Now(), s.d.Config.FollowUpWindow, closed); !can {
			return errNotOpen.With("whyNot", why)
		}
		if _, err := closeConversation(ctx, tx, a.ID, closedByDoctor); err != nil {
			return err
		}
		return s.tellMove(ctx, tx, actor, a, "conversation.close", withReason("The doctor closed the conversation.", reason))
	})
	if err != nil {
		return Conversation{}, err
	}
	return s.State(ctx, actor, publicID)
}

// OpenConversation opens a closed conversation again for its doctor, while the appointment lets anybody write: else it is
// 409 cannot_open. An open one stays as it is.
func (s *Service) OpenConversation(ctx context.Context, actor auth.Actor, publicID string) (Conversation, error) {
	err := s.d.Pool.InTx(ctx, func(tx *postgres.Tx) error {
		a, closed, err := s.holdConversation(ctx, tx, actor, publicID)
		if err != nil {
			return err
		}
		if can, _, why := a.Reply(tx.Now(), s.d.Config.FollowUpWindow, appointment.Closing{}); !can {
			return errCannotOpen.With("whyNot", why)
		}
		if closed.At.IsZero() {
			return nil
		}
		if _, err := openConversation(ctx, tx, a.ID, ""); err != nil {
			return err
		}
		return s.tellMove(ctx, tx, actor, a, "conversation.open", "The doctor opened the conversation again.")
	})
	if err != nil {
		return Conversation{}, err
	}
	return s.State(ctx, actor, publicID)
}

// holdConversation locks an appointment for its doctor, then its room: in the order in which all who change a status do.
func (s *Service) holdConversation(ctx context.Context, tx *postgres.Tx, actor auth.Actor, publicID string) (a appointment.Appointment, closed appointment.Closing, err error) {
	if a, err = s.d.Appointments.Attended(ctx, tx, actor, publicID); err != nil {
		return a, closed, err
	}
	closed, err = lockConversation(ctx, tx, a.ID)
	return a, closed, err
}

// tellMove leaves an audit row and says in the conversation what was done to it.
func (s *Service) tellMove(ctx context.Context, tx *postgres.Tx, actor auth.Actor, a appointment.Appointment, action, text string) error {
	if err := audit.Record(ctx, tx, audit.Event{Actor: actor, Action: action, Subject: a.PublicID, PatientID: a.Patient.ID}); err != nil {
		return err
	}
	return s.d.Log.Append(ctx, tx, a.ID, text)
}

// cleanReason trims a reason and refuses what cannot be stored or is too long.
func cleanReason(s string) (string, error) {
	s = strings.TrimSpace(s)
	switch {
	case !storable(s):
		return "", errs.InvalidField("body.reason", "must be valid UTF-8 without U+0000")
	case utf8.RuneCountInString(s) > maxReason:
		return "", errs.InvalidField("body.reason", "must have at most "+strconv.Itoa(maxReason)+" characters")
	}
	return s, nil
}

// withReason adds a reason, if there is one that can be seen.
func withReason(sentence, reason string) string {
	if isBlank(reason) {
		return sentence
	}
	return sentence + " Reason: " + reason
}
