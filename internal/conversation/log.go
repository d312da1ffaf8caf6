package conversation

import (
	"context"

	"housecall/internal/appointment"
	"housecall/internal/postgres"
)

// Log appends system events to conversations inside the transactions of other packages. It exists apart from Service
// because appointments need it before there can be a Service.
type Log struct {
	// committed is called with events once their transaction has committed; Service sets it.
	committed func([]Event)
}

// NewLog returns a Log. Its events reach connections once a Service uses it.
func NewLog() *Log { return &Log{committed: func([]Event) {}} }

// Append implements appointment.Conversations: it creates the conversation if there is none, locks it, numbers the
// event and inserts it. Connections get the event once tx has committed.
func (l *Log) Append(ctx context.Context, tx *postgres.Tx, appointmentID int64, text string) error {
	return l.insert(ctx, tx, Event{Conversation: appointmentID, Kind: KindSystem, Text: text})
}

// Regroup implements appointment.Conversations: like Append, but all connections to the conversation are closed once
// they have the event. Those whose users may still read it must reconnect to get what follows.
func (l *Log) Regroup(ctx context.Context, tx *postgres.Tx, appointmentID int64, text string) error {
	return l.insert(ctx, tx, Event{Conversation: appointmentID, Kind: KindSystem, Text: text, Regroup: true})
}

func (l *Log) insert(ctx context.Context, tx *postgres.Tx, e Event) error {
	if err := appendSystem(ctx, tx, &e); err != nil {
		return err
	}
	tx.AfterCommit(func() { l.committed([]Event{e}) })
	return nil
}

// Close implements appointment.Conversations.
func (l *Log) Close(ctx context.Context, tx *postgres.Tx, appointmentID int64, text string) error {
	closed, err := setClosed(ctx, tx, appointmentID, closedByClinic)
	if err != nil || !closed {
		return err
	}
	return l.Append(ctx, tx, appointmentID, text)
}

// Reopen implements appointment.Conversations.
func (l *Log) Reopen(ctx context.Context, tx *postgres.Tx, appointmentID int64, text string) error {
	opened, err := setOpen(ctx, tx, appointmentID, closedByClinic)
	if err != nil || !opened {
		return err
	}
	return l.Append(ctx, tx, appointmentID, text)
}

// Closings implements appointment.Conversations.
func (l *Log) Closings(
	ctx context.Context, db postgres.DB, appointmentIDs []int64,
) (map[int64]appointment.Closing, error) {
	return closings(ctx, db, appointmentIDs)
}
