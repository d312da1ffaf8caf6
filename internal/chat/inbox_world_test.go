package chat

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/conversation"
	"housecall/internal/postgres"
)

// inbox opens an inbox connection and reads its hello.
func (in *instance) inbox(t testing.TB, a auth.Actor) *peer {
	t.Helper()
	c, _, err := in.tryAt("/ws/inbox", "", nil, subprotocol, bearerSubprotocol+a.UserID)
	require.NoError(t, err)
	return greeted(t, c)
}

// say sends a message and gives its seq.
func (in *instance) say(t testing.TB, id int64, a auth.Actor, text string) int64 {
	t.Helper()
	return in.text(t, id, a, text)
}

// append writes an event of one's own into a conversation that no instance knows of, as another process would.
func (w *world) append(id int64, kind conversation.Kind, sender auth.Actor, target int64) int64 {
	w.T.Helper()
	var of *int64
	if target > 0 {
		of = &target
	}
	return w.Number(`with bumped as (update conversations set head_seq = head_seq + 1 where id = $1 returning head_seq)
		insert into messages (room_id, seq, at, kind, sender_id, client_id, body, target)
		select $1, head_seq, clock_timestamp(), $2, $3, gen_random_uuid(), 'x', $4 from bumped returning seq`, id, kind, sender.ID, of)
}

// book makes an appointment with its first event, like a booking does, through an instance's log or (nil) another
// process.
func (w *world) book(t testing.TB, log *conversation.Log, patient, doctor auth.Actor) (id int64) {
	t.Helper()
	if log == nil {
		log = conversation.NewLog()
	}
	require.NoError(t, w.Pool.InTx(context.Background(), func(tx *postgres.Tx) error {
		err := tx.QueryRow(context.Background(), `insert into appointments (public_id, patient_id, doctor_id, status, starts_at, ends_at)
			values ($1, $2, $3, $4, now(), now() + interval '30 minutes') returning id`,
			auth.NewPublicID("APP"), patient.ID, doctor.ID, appointment.Booked).
			Scan(&id)
		if err != nil {
			return err
		}
		return log.Append(context.Background(), tx, id, "Booked.")
	}))
	return id
}

// move changes an appointment and tells its conversation.
func (w *world) move(t testing.TB, log *conversation.Log, id int64, sql string, args ...any) {
	t.Helper()
	if log == nil {
		log = conversation.NewLog()
	}
	require.NoError(t, w.Pool.InTx(context.Background(), func(tx *postgres.Tx) error {
		args = append([]any{id}, args...)
		if _, err := tx.Exec(
			context.Background(), `update appointments set version = version + 1, `+sql+` where id = $1`,
			args...); err != nil {
			return err
		}
		if strings.HasPrefix(sql, "doctor_id") {
			return log.Regroup(context.Background(), tx, id, "Handed over.")
		}
		return log.Append(context.Background(), tx, id, "Changed.")
	}))
}
