package schedule_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"housecall/internal/config"
	"housecall/internal/errs"
	"housecall/internal/postgres"
	"housecall/internal/schedule"
	"housecall/internal/testing/pgtest"
	"housecall/internal/zone"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func newService(t *testing.T) *schedule.Service {
	t.Helper()
	return schedule.New(schedule.Deps{Options: options(t, "Asia/Kathmandu")})
}

// options are a clinic's in a zone: half hours, with a break at noon, booked up to half a year ahead.
func options(t *testing.T, name string) schedule.Options {
	t.Helper()
	loc, err := zone.Load(name)
	require.NoError(t, err)
	return schedule.Options{
		Zone: loc, SlotMinutes: 30, Hours: []schedule.Clock{{From: 10 * 60, To: 14 * 60}, {From: 14*60 + 30, To: 18 * 60}},
		Horizon: config.Default().BookingHorizon, Notice: config.Default().BookingNotice,
	}
}

// newDoctor inserts a doctor and returns their id.
func newDoctor(t *testing.T, db postgres.DB, n int) int64 {
	t.Helper()
	var id int64
	require.NoError(t, db.QueryRow(t.Context(), `
		with u as (
			insert into users (public_id, email, name, role) values ($1, $2, 'Dr', 'DOCTOR') returning id
		) insert into doctors (user_id) select id from u returning user_id`,
		fmt.Sprintf("DOC%010d", n), fmt.Sprintf("d%d@example.test", n)).Scan(&id))
	return id
}

func TestService_RulesDefault(t *testing.T) {
	t.Parallel()
	pool, s := pgtest.New(t), newService(t)
	id := newDoctor(t, pool, 1)
	all, err := s.Rules(t.Context(), pool, id)
	require.NoError(t, err)
	r := all[id]
	require.Equal(t, "Asia/Kathmandu", r.TimeZone)
	require.Equal(t, "Asia/Kathmandu", r.Location.String())
	require.Equal(t, 30, r.SlotMinutes)
	require.Equal(t, 1, r.Version)
	require.False(t, r.CustomHours)
	require.Len(t, r.Hours, 14, "two intervals on each of seven days")
	require.Equal(t, schedule.Interval{Weekday: 7, From: 870, To: 1080}, r.Hours[13])
	r.Hours[0].From = 0
	again, err := s.Rules(t.Context(), pool, id)
	require.NoError(t, err)
	require.Equal(t, 600, again[id].Hours[0].From, "a caller's slice is their own")
}

func TestService_SetHours(t *testing.T) {
	t.Parallel()
	pool, s := pgtest.New(t), newService(t)
	id, other := newDoctor(t, pool, 1), newDoctor(t, pool, 2)
	set := func(version int, week ...schedule.Interval) (r schedule.Rules, err error) {
		err = pool.InTx(t.Context(), func(tx *postgres.Tx) error {
			r, err = s.SetHours(t.Context(), tx, id, version, week)
			return err
		})
		return r, err
	}
	r, err := set(1, iv(3, "14:00", "24:00"), iv(3, "08:00", "12:00"), iv(1, "00:00", "01:00"))
	require.NoError(t, err)
	require.Equal(t, []schedule.Interval{iv(1, "00:00", "01:00"), iv(3, "08:00", "12:00"), iv(3, "14:00", "24:00")},
		r.Hours)
	require.Equal(t, 2, r.Version)
	require.True(t, r.CustomHours)

	nights := []schedule.Interval{
		{Weekday: 1, From: 1320, To: 1800}, {Weekday: 2, From: 360, To: 1800}, {Weekday: 7, From: 1200, To: 2640},
	}
	r, err = set(2, nights...)
	require.NoError(t, err)
	require.Equal(t, nights, r.Hours, "past midnight, the next day's and Monday's adjoining")

	_, err = set(1, iv(1, "10:00", "11:00"))
	require.ErrorIs(t, err, errs.ErrStale)

	r, err = set(3)
	require.NoError(t, err)
	require.Empty(t, r.Hours, "no hours at all is a choice, not the default")
	require.True(t, r.CustomHours)

	both, err := s.Rules(t.Context(), pool, id, other)
	require.NoError(t, err)
	require.Empty(t, both[id].Hours)
	require.Equal(t, 4, both[id].Version)
	require.Len(t, both[other].Hours, 14)
}

func TestService_SetRules(t *testing.T) {
	t.Parallel()
	pool, s := pgtest.New(t), newService(t)
	id := newDoctor(t, pool, 1)
	set := func(version int, zone string, slot int) (r schedule.Rules, err error) {
		err = pool.InTx(t.Context(), func(tx *postgres.Tx) error {
			r, err = s.SetRules(t.Context(), tx, id, version, schedule.RuleChange{TimeZone: &zone, SlotMinutes: &slot})
			return err
		})
		return r, err
	}
	r, err := set(1, "Europe/Berlin", 20)
	require.NoError(t, err)
	require.Equal(t, "Europe/Berlin", r.Location.String())
	require.Equal(t, 20, r.SlotMinutes)
	require.Len(t, r.Hours, 14, "hours stay the clinic's")
	require.False(t, r.CustomHours)
	_, err = set(1, "Europe/Berlin", 25)
	require.ErrorIs(t, err, errs.ErrStale)

	for name, c := range map[string]struct {
		zone  string
		slot  int
		field string
	}{
		"no such zone":    {"Europe/Atlantis", 20, "body.timeZone"},
		"local":           {"Local", 20, "body.timeZone"},
		"empty":           {"", 20, "body.timeZone"},
		"a path":          {"../etc/passwd", 20, "body.timeZone"},
		"slot too short":  {"UTC", 4, "body.slotMinutes"},
		"slot too long":   {"UTC", 481, "body.slotMinutes"},
		"negative length": {"UTC", -30, "body.slotMinutes"},
	} {
		_, err := set(2, c.zone, c.slot)
		var e *errs.Error
		require.ErrorAs(t, err, &e, name)
		require.Equal(t, errs.Invalid, e.Kind, name)
		require.Equal(t, c.field, e.Fields[0].Path, name)
	}
}

func TestService_SetHoursRefuses(t *testing.T) {
	t.Parallel()
	pool, s := pgtest.New(t), newService(t)
	id := newDoctor(t, pool, 1)
	many := make([]schedule.Interval, 11)
	for i := range many {
		many[i] = schedule.Interval{Weekday: 2, From: i * 60, To: i*60 + 30}
	}
	for name, c := range map[string]struct {
		week  []schedule.Interval
		field string
	}{
		"weekday 0":      {[]schedule.Interval{{Weekday: 0, From: 0, To: 60}}, "body.intervals[0].weekday"},
		"weekday 8":      {[]schedule.Interval{iv(1, "10:00", "11:00"), {Weekday: 8, From: 0, To: 60}}, "body.intervals[1].weekday"},
		"before the day": {[]schedule.Interval{{Weekday: 1, From: -1, To: 60}}, "body.intervals[0].from"},
		"over a day":     {[]schedule.Interval{{Weekday: 1, From: 60, To: 1501}}, "body.intervals[0].to"},
		"backwards":      {[]schedule.Interval{iv(1, "11:00", "10:00")}, "body.intervals[0].to"},
		"empty":          {[]schedule.Interval{iv(1, "11:00", "11:00")}, "body.intervals[0].to"},
		"overlap":        {[]schedule.Interval{iv(1, "11:00", "13:00"), iv(1, "09:00", "11:01")}, "body.intervals[0].from"},
		"past midnight":  {[]schedule.Interval{{Weekday: 1, From: 1320, To: 1501}, iv(2, "01:00", "02:00")}, "body.intervals[1].from"},
		"past Sunday":    {[]schedule.Interval{iv(1, "01:00", "02:00"), {Weekday: 7, From: 1320, To: 1501}}, "body.intervals[0].from"},
		"round the week": {[]schedule.Interval{iv(1, "10:00", "12:00"), {Weekday: 7, From: 700, To: 2041}}, "body.intervals[0].from"},
		"twice":          {[]schedule.Interval{iv(1, "11:00", "13:00"), iv(1, "11:00", "13:00")}, "body.intervals[1].from"},
		"eleven a day":   {many, "body.intervals[10].weekday"},
	} {
		err := pool.InTx(t.Context(), func(tx *postgres.Tx) error {
			_, err := s.SetHours(t.Context(), tx, id, 1, c.week)
			return err
		})
		var e *errs.Error
		require.ErrorAs(t, err, &e, name)
		require.Equal(t, errs.Invalid, e.Kind, name)
		require.Equal(t, c.field, e.Fields[0].Path, name)
	}
}

func TestService_SetHoursManyWorkersOneWinner(t *testing.T) {
	t.Parallel()
	pool, s := pgtest.New(t), newService(t)
	id := newDoctor(t, pool, 1)
	var won, stale atomic.Int32
	var workers errgroup.Group
	for n := range 16 {
		workers.Go(func() error {
			err := pool.InTx(context.Background(), func(tx *postgres.Tx) error {
				_, err := s.SetHours(context.Background(), tx, id, 1, []schedule.Interval{{Weekday: 1, From: n, To: n + 60}})
				return err
			})
			switch {
			case err == nil:
				won.Add(1)
			case errs.CodeOf(err) == errs.ErrStale.Code:
				stale.Add(1)
				err = nil
			}
			return err
		})
	}
	require.NoError(t, workers.Wait())
	require.EqualValues(t, 1, won.Load())
	require.EqualValues(t, 15, stale.Load())
	all, err := s.Rules(t.Context(), pool, id)
	require.NoError(t, err)
	require.Equal(t, 2, all[id].Version)
	require.Len(t, all[id].Hours, 1)
}

// counting counts the statements that go to a database.
type counting struct {
	postgres.DB
	statements int
}

func (c *counting) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	c.statements++
	return c.DB.Query(ctx, sql, args...)
}

func (c *counting) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	c.statements += b.Len()
	return c.DB.SendBatch(ctx, b)
}

func TestService_RulesOfManyDoctorsInOneStatement(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	const doctors = 1000
	_, err := c.pool.Exec(t.Context(), fmt.Sprintf(`
		with u as (
			insert into users (public_id, email, name, role)
			select 'DOCX' || n, n || '@many.test', 'Dr', 'DOCTOR' from generate_series(1, %d) as n returning id
		), d as (
			insert into doctors (user_id) select id from u returning user_id
		), s as (
			insert into schedules (doctor_id, time_zone, slot_minutes, custom_hours) select user_id, 'Asia/Kolkata', 20, true from d returning doctor_id
		), h as (
			insert into schedule_hours (doctor_id, weekday, starts, ends)
			select doctor_id, day, at * 60, at * 60 + 90 from s, generate_series(1, 7) as day, generate_series(8, 20, 4) as at
		)
		insert into schedule_exceptions (doctor_id, first_date, last_date, off)
		select doctor_id, '2027-04-01'::date + n * 7, '2027-04-01'::date + n * 7, true from s, generate_series(1, 10) as n`, doctors))
	require.NoError(t, err)
	rows, err := c.pool.Query(t.Context(), `select doctor_id from schedules`)
	require.NoError(t, err)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	require.NoError(t, err)
	require.Len(t, ids, doctors)

	db := &counting{DB: c.pool}
	all, err := c.svc.Rules(t.Context(), db, append(ids, c.doctor)...)
	require.NoError(t, err)
	require.Equal(t, 1, db.statements)
	require.Len(t, all, doctors+1)
	for _, id := range ids {
		require.Equal(t, id, all[id].DoctorID)
		require.Len(t, all[id].Hours, 28)
		require.Len(t, all[id].Exceptions, 10)
	}
	require.Len(t, all[c.doctor].Hours, 14)
}

// Every interval that is wrong is named, not the first alone.
func TestService_SetHours_namesEachFault(t *testing.T) {
	t.Parallel()
	pool, s := pgtest.New(t), newService(t)
	id := newDoctor(t, pool, 1)
	for name, c := range map[string]struct {
		week  []schedule.Interval
		paths []string
	}{
		"bounds": {
			[]schedule.Interval{{Weekday: 0, From: -1, To: 60}, iv(1, "10:00", "11:00"), {Weekday: 2, From: 60, To: 60}},
			[]string{"body.intervals[0].weekday", "body.intervals[0].from", "body.intervals[2].to"},
		},
		"overlaps": {
			[]schedule.Interval{iv(1, "09:00", "12:00"), iv(1, "11:00", "13:00"), iv(3, "09:00", "12:00"), iv(3, "09:30", "12:30")},
			[]string{"body.intervals[1].from", "body.intervals[3].from"},
		},
	} {
		err := pool.InTx(t.Context(), func(tx *postgres.Tx) error {
			_, err := s.SetHours(t.Context(), tx, id, 1, c.week)
			return err
		})
		var e *errs.Error
		require.ErrorAs(t, err, &e, name)
		var paths []string
		for _, f := range e.Fields {
			paths = append(paths, f.Path)
		}
		require.Equal(t, c.paths, paths, name)
	}
}
