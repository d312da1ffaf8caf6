// Package clinictest makes the people and appointments that tests of conversations need, directly as rows in a
// database of their own.
package clinictest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/postgres"
	"housecall/internal/testing/pgtest"
)

// World is a database with one doctor and one patient, both signed in.
type World struct {
	T       testing.TB
	DSN     string
	Pool    *postgres.Pool
	Patient auth.Actor
	Doctor  auth.Actor

	users atomic.Int64
}

// New makes a world on a database of its own.
func New(t testing.TB) *World {
	t.Helper()
	return On(t, pgtest.DSN(t))
}

// On makes a world on a migrated database.
func On(t testing.TB, dsn string) *World {
	t.Helper()
	w := &World{T: t, DSN: dsn}
	w.Pool = w.Connect()
	w.Patient = w.SignIn(w.User(auth.Patient))
	w.Doctor = w.SignIn(w.User(auth.Doctor))
	return w
}

// Connect opens another pool on the world's database, as another instance would.
func (w *World) Connect() *postgres.Pool {
	w.T.Helper()
	pool, err := postgres.Open(context.Background(), postgres.Options{DSN: w.DSN, MaxConns: 8})
	require.NoError(w.T, err)
	w.T.Cleanup(pool.Close)
	return pool
}

// Exec runs a statement.
func (w *World) Exec(sql string, args ...any) {
	w.T.Helper()
	_, err := w.Pool.Exec(context.Background(), sql, args...)
	require.NoError(w.T, err)
}

// Number reads one number.
func (w *World) Number(sql string, args ...any) (n int64) {
	w.T.Helper()
	require.NoError(w.T, w.Pool.QueryRow(context.Background(), sql, args...).Scan(&n))
	return n
}

// User makes a user who is not signed in, with the profile that the role needs.
func (w *World) User(role auth.Role) auth.Actor {
	w.T.Helper()
	n := w.users.Add(1)
	a := auth.Actor{UserID: fmt.Sprintf("%s%010d", auth.PrefixFor(role), n), Name: fmt.Sprintf("Person %d", n), Role: role}
	a.ID = w.Number(`
		insert into users (public_id, email, name, role) values ($1::text, lower($1::text) || '@x.test', $2, $3)
		returning id`,
		a.UserID, a.Name, role)
	switch role {
	case auth.Patient:
		w.Exec(`insert into patients (user_id) values ($1)`, a.ID)
	case auth.Doctor:
		w.Exec(`insert into doctors (user_id) values ($1)`, a.ID)
	case auth.Admin:
	}
	return a
}

// SignIn returns the user with a new session.
func (w *World) SignIn(a auth.Actor) auth.Actor {
	w.T.Helper()
	a.Session = w.Number(`
		insert into sessions (user_id, expires_at) values ($1, now() + interval '1 day') returning id`, a.ID)
	return a
}

// Appointment makes an appointment of the world's patient and doctor, without a conversation.
func (w *World) Appointment(status appointment.Status) (id int64) {
	w.T.Helper()
	return w.Number(`insert into appointments (public_id, patient_id, doctor_id, status, starts_at, ends_at, completed_at)
		values ($1, $2, $3, $4, now(), now() + interval '30 minutes', case when $4::text = 'COMPLETED' then now() end)
		returning id`, auth.NewPublicID("APP"), w.Patient.ID, w.Doctor.ID, status)
}

// Conversation makes a booked appointment with an empty conversation.
func (w *World) Conversation() (id int64) {
	w.T.Helper()
	id = w.Appointment(appointment.Booked)
	w.Exec(`insert into conversations (id) values ($1)`, id)
	return id
}

// PublicID returns the public id of an appointment.
func (w *World) PublicID(id int64) (publicID string) {
	w.T.Helper()
	require.NoError(w.T, w.Pool.QueryRow(context.Background(),
		`select public_id from appointments where id = $1`, id).Scan(&publicID))
	return publicID
}

// HandOver gives an appointment to another doctor, only in its row, without an event.
func (w *World) HandOver(id int64, to auth.Actor) {
	w.T.Helper()
	w.Exec(`update appointments set doctor_id = $2 where id = $1`, id, to.ID)
}

// Eventually waits until f is true, for at most a minute.
func (w *World) Eventually(f func() bool, what string) {
	w.T.Helper()
	require.Eventually(w.T, f, time.Minute, 10*time.Millisecond, what)
}
