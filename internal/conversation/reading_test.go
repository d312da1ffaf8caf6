package conversation

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
	"housecall/internal/testing/pgtest"
)

// Any package can make a zero Reading; it must give access to nothing.
func TestReading_zero(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(w.Conversation(), 3)
	svc, ctx, zero := w.service(w.Pool), t.Context(), Reading{}
	require.Zero(t, zero.Conversation())
	require.False(t, zero.Observer())
	events, head, err := svc.History(ctx, zero, Page{After: 0, Limit: 10})
	require.NoError(t, err)
	require.Empty(t, events)
	require.Zero(t, head)
	for name, read := range map[string]func() (any, error){
		"latest": func() (any, error) {
			events, _, err := svc.History(ctx, zero, Page{After: -1, Limit: 10})
			return events, err
		},
		"after":    func() (any, error) { return svc.After(ctx, zero, 0, 10) },
		"head":     func() (any, error) { return svc.Head(ctx, zero) },
		"stretch":  func() (any, error) { return svc.Stretch(ctx, zero, Stretch{3, 3}, 0, 10) },
		"edits":    func() (any, error) { return svc.Edits(ctx, zero, 3, []int64{1}) },
		"writers":  func() (any, error) { return svc.Writers(ctx, zero) },
		"original": func() (any, error) { return svc.Originals(ctx, zero, []int64{1}) },
	} {
		got, err := read()
		require.NoError(t, err, name)
		require.Empty(t, got, name)
	}
}

// Every function that returns a Reading applies the same rule: who takes part now, and which administrator has
// access.
func TestService_Readable_judges(t *testing.T) {
	t.Parallel()
	g := newGlassWorld(t, 1)
	svc, ctx := g.instances[0].svc, t.Context()
	stranger, other := g.SignIn(g.User(auth.Doctor)), g.SignIn(g.User(auth.Admin))
	check := func(when string, by auth.Actor, reads, takesPart, observer bool) {
		t.Helper()
		readable, err := svc.Readable(ctx, by, g.id)
		_, again, errAgain := svc.Rejoin(ctx, g.conversation, by)
		if reads {
			require.NoError(t, err, when)
			require.NoError(t, errAgain, when)
			require.Equal(t, []any{g.conversation, by.ID, observer, !observer},
				[]any{readable.Conversation(), readable.Reader(), readable.Observer(), readable.Until().IsZero()}, when)
			require.Equal(t, readable, again, when)
		} else {
			require.Equal(t, errs.NotFound, errs.KindOf(err), when)
			require.Equal(t, errs.NotFound, errs.KindOf(errAgain), when)
			require.Equal(t, []any{Reading{}, Reading{}}, []any{readable, again}, when)
		}
		for _, judge := range []func(context.Context, auth.Actor, string) (Reading, error){svc.TakesPart, svc.Writable} {
			r, err := judge(ctx, by, g.id)
			if takesPart {
				require.NoError(t, err, when)
				require.Equal(t, g.conversation, r.Conversation(), when)
				continue
			}
			require.Equal(t, errs.NotFound, errs.KindOf(err), when)
			require.Equal(t, Reading{}, r, when)
		}
	}
	check("patient", g.Patient, true, true, false)
	check("doctor", g.Doctor, true, true, false)
	check("another doctor", stranger, false, false, false)
	check("administrator without access", g.admin, false, false, false)
	g.breaks(g.admin)
	check("administrator with access", g.admin, true, false, true)
	check("another administrator", other, false, false, false)
	g.Exec(`update users set role = 'PATIENT' where id = $1`, g.Doctor.ID)
	former := g.Doctor
	former.Role = auth.Patient
	check("former doctor", former, false, false, false)
	check("former doctor with an older token", g.Doctor, false, false, false)
	check("their patient", g.Patient, true, true, false)

	g.Exec(`update conversations set closed_at = now() where id = $1`, g.conversation)
	_, err := svc.Writable(ctx, g.Patient, g.id)
	require.Equal(t, ErrClosed, err)
	still, err := svc.TakesPart(ctx, g.Patient, g.id)
	require.NoError(t, err, "closed conversations can still be read")
	require.Equal(t, g.conversation, still.Conversation())
}

// Appointments append to the log within their own transactions, holding locks, so it must take only one round trip.
func TestLog_Append_oneStatement(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pool, trips := pgtest.Counted(t, w.DSN)
	id := w.Conversation()
	require.NoError(t, pool.InTx(t.Context(), func(tx *postgres.Tx) (err error) {
		n, statements := trips.Of(func() { err = NewLog().Append(t.Context(), tx, id, "Confirmed.") })
		require.Equal(t, 1, n, "%v", statements)
		return err
	}))
	require.Len(t, w.requireGapless(id), 1)
}
