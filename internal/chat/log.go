package chat

import (
	"context"

	"housecall/internal/appointment"
	"housecall/internal/postgres"
)

// Log appends system events to conversations inside the transactions of other rooms. It exists apart from
// Service because appointments need it before chat can be made.
type Log struct {
	// published is told of events once their transaction has committed; Service sets it.
	published func([]Event)
}

var _ appointment.Conversations = (*Log)(nil)

// NewLog makes a log whose events reach live sockets as soon as a Service stands on it.
func NewLog() *Log { return &Log{published: func([]Event) {}} }

// Append implements appointment.Conversations: it makes the conversation if there is none, locks it, numbers the
// event and inserts it. Sockets hear of it once tx has committed.
func (l *Log) Append(ctx context.Context, tx *postgres.Tx, appointmentID int64, text string) error {
	return l.append(ctx, tx, appointmentID, text, false)
}

// Regroup implements appointment.Conversations: all sockets in the room end once they have the event, and come back
// if they still may, before anything that follows it.
func (l *Log) Regroup(ctx context.Context, tx *postgres.Tx, appointmentID int64, text string) error {
	return l.append(ctx, tx, appointmentID, text, true)
}

func (l *Log) append(ctx context.Context, tx *postgres.Tx, appointmentID int64, text string, regroup bool) error {
	e, err := appendSystem(ctx, tx, appointmentID, text, regroup)
	if err != nil {
		return err
	}
	tx.AfterCommit(func() { l.published([]Event{e}) })
	return nil
}

// Close implements appointment.Conversations.
func (l *Log) Close(ctx context.Context, tx *postgres.Tx, appointmentID int64, text string) error {
	closed, err := closeConversation(ctx, tx, appointmentID, closedByClinic)
	if err != nil || !closed {
		return err
	}
	return l.Append(ctx, tx, appointmentID, text)
}

// Reopen implements appointment.Conversations.
func (l *Log) Reopen(ctx context.Context, tx *postgres.Tx, appointmentID int64, text string) error {
	opened, err := openConversation(ctx, tx, appointmentID, closedByClinic)
	if err != nil || !opened {
		return err
	}
	return l.Append(ctx, tx, appointmentID, text)
}

// Closings implements appointment.Conversations.
func (l *Log) Closings(ctx context.Context, db postgres.DB, appointmentIDs []int64) (map[int64]appointment.Closing, error) {
	return closings(ctx, db, appointmentIDs)
}

// Unread implements appointment.Conversations.
func (l *Log) Unread(ctx context.Context, db postgres.DB, userID int64, appointmentIDs []int64) (map[int64]int64, error) {
	all, err := standingsIn(ctx, db, appointmentIDs, []int64{userID}, seats{})
	if err != nil {
		return nil, err
	}
	unread := make(map[int64]int64, len(all))
	for _, st := range all {
		unread[st.RoomID] = st.Unread
	}
	return unread, nil
}
