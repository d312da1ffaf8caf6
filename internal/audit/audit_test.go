package audit_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/postgres"
	"housecall/internal/testing/pgtest"
)

const waitMost, waitStep = time.Minute, 20 * time.Millisecond

func TestMain(m *testing.M) { pgtest.Main(m) }

func record(t *testing.T, db postgres.DB, n int) {
	t.Helper()
	for i := range n {
		require.NoError(t, audit.Record(t.Context(), db, audit.Event{
			Actor: auth.Actor{ID: 7, Role: auth.Doctor}, Action: "appointment.confirm", Subject: fmt.Sprintf("APP%d", i),
			PatientID: 9, Detail: map[string]any{"b": i, "a": "x"},
		}))
	}
}

func TestRecord_KeepsWhatHappened(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	ctx := audit.WithRequestID(t.Context(), "request-1")
	var now, at any
	require.NoError(t, pool.InTx(ctx, func(tx *postgres.Tx) error {
		now = tx.Now()
		return audit.Record(ctx, tx, audit.Event{
			Actor: auth.Actor{ID: 7, Role: auth.Doctor}, Action: "appointment.confirm", Subject: "APP1", PatientID: 9,
			Detail: map[string]any{"version": 2},
		})
	}))
	var actor, patient int64
	var role, action, subject, request, detail string
	require.NoError(t, pool.QueryRow(ctx, `
		select at at time zone 'UTC', actor_id, actor_role, action, subject, patient_id, request_id, detail::text from audit_events`).
		Scan(&at, &actor, &role, &action, &subject, &patient, &request, &detail))
	require.Equal(t, now, at)
	require.Equal(t, []any{int64(7), "DOCTOR", "appointment.confirm", "APP1", int64(9), "request-1", `{"version": 2}`},
		[]any{actor, role, action, subject, patient, request, detail})
}

func TestRecord_SystemAndNobody(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	require.NoError(t, audit.Record(t.Context(), pool, audit.Event{Actor: auth.System, Action: "appointment.expire"}))
	var none bool
	require.NoError(t, pool.QueryRow(t.Context(), `
		select actor_id is null and patient_id is null and detail = '{}' and request_id = '' from audit_events`).Scan(&none))
	require.True(t, none)
}

func TestRecord_Several(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	require.NoError(t, audit.Record(t.Context(), pool))
	require.NoError(t, audit.Record(t.Context(), pool,
		audit.Event{Actor: auth.Actor{ID: 7, Role: auth.Doctor}, Action: "patient.list", Subject: "PAT1", PatientID: 9},
		audit.Event{Actor: auth.System, Action: "appointment.expire", Detail: map[string]any{"n": 1}},
	))
	var trail []string
	require.NoError(t, pool.QueryRow(t.Context(), `
		select array_agg(concat_ws(' ', coalesce(actor_id, 0), actor_role, action, subject, coalesce(patient_id, 0), detail) order by id)
		from audit_events`).Scan(&trail))
	require.Equal(t, []string{"7 DOCTOR patient.list PAT1 9 {}", `0  appointment.expire  0 {"n": 1}`}, trail)
}

// An investigation asks who has seen the data of one patient.
func TestTrail_OfAPatientHasAnIndex(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	require.NoError(t, pool.InTx(t.Context(), func(tx *postgres.Tx) error {
		_, err := tx.Exec(t.Context(), `set local enable_seqscan = off`)
		require.NoError(t, err)
		var plan string
		require.NoError(t, tx.QueryRow(t.Context(),
			`explain (format json) select id from audit_events where patient_id = 1 order by id desc limit 9`).Scan(&plan))
		require.Contains(t, plan, "audit_events_patient_idx")
		return nil
	}))
}

func TestRecord_RollsBackWithTheChange(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	failed := fmt.Errorf("the change failed")
	require.ErrorIs(t, pool.InTx(t.Context(), func(tx *postgres.Tx) error {
		record(t, tx, 1)
		return failed
	}), failed)
	report, err := audit.Verify(t.Context(), pool)
	require.NoError(t, err)
	require.Equal(t, audit.Report{}, report)
}

func TestTrail_IsAppendOnly(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	record(t, pool, 2)
	_, err := audit.NewSealer(pool, zerolog.Nop()).SealOnce(t.Context())
	require.NoError(t, err)
	record(t, pool, 1)
	for name, statement := range map[string]string{
		"change":         `update audit_events set action = 'x' where position = 1`,
		"change fresh":   `update audit_events set action = 'x' where position is null`,
		"seal with lies": `update audit_events set position = 3, seal = '\x00', action = 'x' where position is null`,
		"unseal":         `update audit_events set position = null, seal = null where position = 2`,
		"renumber":       `update audit_events set position = 9 where position = 2`,
		"delete":         `delete from audit_events`,
		"truncate":       `truncate audit_events`,
	} {
		_, err := pool.Exec(t.Context(), statement)
		require.ErrorContains(t, err, "append-only", name)
	}
}

func TestSealer_ManySealersOneChain(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	const sealers, rows = 8, 1300
	writing, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range sealers {
		all.Go(func() {
			s := audit.NewSealer(pool, zerolog.Nop())
			for writing.Err() == nil {
				_, err := s.SealOnce(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	record(t, pool, rows)
	stop()
	all.Wait()
	_, err := audit.NewSealer(pool, zerolog.Nop()).SealOnce(t.Context())
	require.NoError(t, err)
	report, err := audit.Verify(t.Context(), pool)
	require.NoError(t, err)
	require.EqualValues(t, rows, report.Sealed)
	require.Zero(t, report.Unsealed)
	require.Zero(t, report.Broken)
	require.Len(t, report.Head, 32)
}

func TestVerify_NamesTheFirstBrokenPosition(t *testing.T) {
	t.Parallel()
	for name, statement := range map[string]string{
		"a changed action":         `update audit_events set action = 'x' where position = 3`,
		"a changed time":           `update audit_events set at = at + interval '1 microsecond' where position = 3`,
		"a changed detail":         `update audit_events set detail = '{"a": "x", "b": 99}' where position = 3`,
		"text moved along":         `update audit_events set action = action || subject, subject = '' where position = 3`,
		"another patient":          `update audit_events set patient_id = 10 where position = 3`,
		"a row taken out":          `delete from audit_events where position = 3`,
		"a row taken out, closed":  `delete from audit_events where position = 3; update audit_events set position = position - 1 where position > 3`,
		"two rows in other places": `update audit_events set position = 1000 where position = 3; update audit_events set position = 3 where position = 4; update audit_events set position = 4 where position = 1000`,
		"a seal made up":           `update audit_events set seal = '\x00' where position = 3`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.New(t)
			record(t, pool, 6)
			n, err := audit.NewSealer(pool, zerolog.Nop()).SealOnce(t.Context())
			require.NoError(t, err)
			require.Equal(t, 6, n)
			report, err := audit.Verify(t.Context(), pool)
			require.NoError(t, err)
			require.Zero(t, report.Broken)

			_, err = pool.Exec(t.Context(), `alter table audit_events disable trigger all;`+statement)
			require.NoError(t, err)
			report, err = audit.Verify(t.Context(), pool)
			require.NoError(t, err)
			require.EqualValues(t, 3, report.Broken)
			require.EqualValues(t, 2, report.Sealed)
		})
	}
}

func TestSealer_StartStop(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	record(t, pool, 3)
	s := audit.NewSealer(pool, zerolog.Nop())
	s.Stop() // before any start
	for range 3 {
		s.Start()
		s.Start()
		require.Eventually(t, func() bool {
			r, err := audit.Verify(t.Context(), pool)
			return err == nil && r.Unsealed == 0
		}, waitMost, waitStep)
		s.Stop()
		s.Stop()
		record(t, pool, 1)
	}
	report, err := audit.Verify(t.Context(), pool)
	require.NoError(t, err)
	require.EqualValues(t, 1, report.Unsealed, "a stopped sealer seals nothing")
}
