package chat

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/config"
	"housecall/internal/conversation"
	"housecall/internal/postgres"
)

// tiding is one notification: to whom, for which absence, and about how many conversations.
type tiding struct {
	user          int64
	absence       time.Time
	conversations int
}

// ears collects the notifications whose transaction commits.
type ears struct {
	mu    sync.Mutex // guards heard
	heard []tiding
	deaf  map[int64]bool // users whose notification fails
}

var errDeaf = errors.New("the mail id is closed")

func (e *ears) Unread(_ context.Context, tx *postgres.Tx, user int64, absence time.Time, conversations int) error {
	if e.deaf[user] {
		return errDeaf
	}
	tx.AfterCommit(func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.heard = append(e.heard, tiding{user, absence.UTC(), conversations})
	})
	return nil
}

func (e *ears) take() []tiding {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := e.heard
	e.heard = nil
	return out
}

// absence is a world whose clock the test moves, and sweepers over it.
type absence struct {
	*world
	now  time.Time
	ears *ears
}

func newAbsence(t testing.TB) *absence {
	a := &absence{
		world: newWorld(t), now: time.Date(2027, 3, 1, 10, 0, 0, 0, time.UTC), ears: &ears{deaf: map[int64]bool{}},
	}
	a.reset()
	return a
}

// reset has everybody seen now, and nothing unread.
func (a *absence) reset() {
	a.T.Helper()
	for _, table := range []string{"unread_notices", "unread_pending", "user_presence", "receipts", "messages"} {
		a.Exec(`delete from ` + table)
	}
	a.Exec(`update conversations set head_seq = 0`)
	a.Exec(`update unread_sweeps set upto = $1`, a.now.Add(-time.Second))
	a.Exec(`update users set created_at = $1`, a.now)
	a.Exec(`update sessions set last_used_at = $1`, a.now)
}

// sweeper is an instance, as far as the sweep needs one.
func (a *absence) sweeper() *Service {
	return &Service{d: Deps{
		Pool: a.Pool, Now: func() time.Time { return a.now }, Notifications: a.ears,
		Options: Options{UnreadAfter: config.Default().UnreadAfter},
	}}
}

func (a *absence) sweep() []tiding {
	a.T.Helper()
	require.NoError(a.T, a.sweeper().NotifyAbsent(context.Background()))
	return a.ears.take()
}

func (a *absence) pass(d time.Duration) { a.now = a.now.Add(d) }

func (a *absence) say(id int64, sender auth.Actor, kind conversation.Kind) (seq int64) {
	a.T.Helper()
	seq = a.Number(`update conversations set head_seq = head_seq + 1 where id = $1 returning head_seq`, id)
	var by *int64
	if kind != conversation.KindSystem {
		by = &sender.ID
	}
	a.Exec(`insert into messages (room_id, seq, at, kind, sender_id, body) values ($1, $2, $3, $4, $5, 'x')`, id, seq,
		a.now, kind, by)
	return seq
}

func (a *absence) read(id int64, by auth.Actor, seq int64) {
	a.T.Helper()
	a.reached(id, by.ID, seq, seq)
}

func (a *absence) useREST(by auth.Actor) {
	a.T.Helper()
	a.Exec(`update sessions set last_used_at = $1 where user_id = $2`, a.now, by.ID)
}
