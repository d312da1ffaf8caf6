package schedule_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"housecall/internal/errs"
	"housecall/internal/postgres"
	"housecall/internal/schedule"
	"housecall/internal/testing/pgtest"
)

// today is the date of the tests of exceptions, in every zone that they use.
var today = date("2027-03-10")

func date(s string) time.Time {
	d, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(err)
	}
	return d
}

// clinic is a service at noon of today, with a doctor.
type clinic struct {
	t      *testing.T
	pool   *postgres.Pool
	svc    *schedule.Service
	doctor int64
}

func newClinic(t *testing.T) clinic {
	t.Helper()
	o := options(t, "Asia/Kathmandu")
	o.Notice = 2 * time.Hour
	s := schedule.New(schedule.Deps{Now: func() time.Time { return today.Add(12 * time.Hour) }, Options: o})
	pool := pgtest.New(t)
	return clinic{t: t, pool: pool, svc: s, doctor: newDoctor(t, pool, 1)}
}

func (c clinic) add(e schedule.Exception) (made schedule.Exception, r schedule.Rules, err error) {
	err = c.pool.InTx(context.Background(), func(tx *postgres.Tx) error {
		made, r, err = c.svc.AddException(context.Background(), tx, c.doctor, e)
		return err
	})
	return made, r, err
}

func (c clinic) remove(doctor int64, id string) (r schedule.Rules, err error) {
	err = c.pool.InTx(c.t.Context(), func(tx *postgres.Tx) error {
		r, err = c.svc.RemoveException(c.t.Context(), tx, doctor, id)
		return err
	})
	return r, err
}

func (c clinic) set(version int, change schedule.RuleChange) (r schedule.Rules, err error) {
	err = c.pool.InTx(c.t.Context(), func(tx *postgres.Tx) error {
		r, err = c.svc.SetRules(c.t.Context(), tx, c.doctor, version, change)
		return err
	})
	return r, err
}

func (c clinic) rulesNow() schedule.Rules {
	c.t.Helper()
	all, err := c.svc.Rules(c.t.Context(), c.pool, c.doctor)
	require.NoError(c.t, err)
	return all[c.doctor]
}

func off(from, to string) schedule.Exception {
	return schedule.Exception{From: date(from), To: date(to)}
}

func others(from, to string, hours ...schedule.Clock) schedule.Exception {
	return schedule.Exception{From: date(from), To: date(to), Hours: hours}
}

func TestService_Exceptions(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	holiday := off("2027-04-01", "2027-04-14")
	holiday.Note = "  away "
	made, r, err := c.add(holiday)
	require.NoError(t, err)
	require.NotEmpty(t, made.ID)
	require.Equal(t, "away", made.Note)
	require.Equal(t, 2, r.Version)
	require.Equal(t, []schedule.Exception{made}, r.Exceptions)
	require.Len(t, r.Hours, 14, "hours stay the clinic's")

	night, r, err := c.add(
		others("2027-03-09", "2027-03-31", schedule.Clock{From: 1200, To: 1560}, schedule.Clock{From: 480, To: 720}),
	)
	require.NoError(t, err)
	require.Equal(t, []schedule.Clock{{From: 480, To: 720}, {From: 1200, To: 1560}}, night.Hours)
	require.Equal(t, []schedule.Exception{night, made}, r.Exceptions, "by date")
	require.Equal(t, r, c.rulesNow())

	for name, id := range map[string]string{"another doctor's": made.ID, "none": "nonsense", "a UUID": "7b1f7c6e-9a9f-4a53-9df3-0e9f7a1f8f10"} {
		_, err := c.remove(newDoctor(t, c.pool, 100+len(name)), id)
		require.Equal(t, errs.NotFound, errs.KindOf(err), name)
	}
	_, err = c.remove(c.doctor, "7b1f7c6e-9a9f-4a53-9df3-0e9f7a1f8f10")
	require.Equal(t, errs.NotFound, errs.KindOf(err))
	require.Equal(t, 3, c.rulesNow().Version, "a refusal changes nothing")
	r, err = c.remove(c.doctor, night.ID)
	require.NoError(t, err)
	require.Equal(t, 4, r.Version)
	require.Equal(t, []schedule.Exception{made}, r.Exceptions)
}

// Past exceptions stay in the list, but leave the rules once they can no longer matter.
func TestService_ExceptionsThatAreOver(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	_, err := c.set(1, schedule.RuleChange{})
	require.NoError(t, err, "changing nothing makes the row")
	_, err = c.pool.Exec(t.Context(), `
		insert into schedule_exceptions (doctor_id, first_date, last_date, off)
		select $1, $2::date - n, $2::date - n, true from generate_series(0, 7) as n`, c.doctor, today)
	require.NoError(t, err)
	kept := c.rulesNow().Exceptions
	require.Len(t, kept, 5)
	require.Equal(t, today.AddDate(0, 0, -4), kept[0].From)
	all, more, err := c.svc.Exceptions(t.Context(), c.pool, c.doctor, schedule.ExceptionQuery{Limit: 100})
	require.NoError(t, err)
	require.False(t, more)
	require.Len(t, all, 8)
}

// The longest exception counts to its last day.
func TestService_ExceptionsOfAYear(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	made, r, err := c.add(schedule.Exception{From: today.AddDate(0, 0, -365), To: today})
	require.NoError(t, err)
	require.Equal(t, []schedule.Exception{made}, r.Exceptions)
	all, _, err := c.svc.Exceptions(t.Context(), c.pool, c.doctor,
		schedule.ExceptionQuery{Period: schedule.Period{From: today, To: today}, Limit: 100})
	require.NoError(t, err)
	require.Equal(t, []schedule.Exception{made}, all)
}

func TestService_AddExceptionRefuses(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	hours := func(clocks ...schedule.Clock) schedule.Exception {
		return others("2027-03-20", "2027-03-22", clocks...)
	}
	note := func(s string) schedule.Exception { e := off("2027-03-20", "2027-03-20"); e.Note = s; return e }
	for name, v := range map[string]struct {
		e     schedule.Exception
		field string
	}{
		"over yesterday":      {off("2027-03-01", "2027-03-09"), "body.to"},
		"backwards":           {off("2027-03-20", "2027-03-19"), "body.to"},
		"367 days":            {off("2027-03-20", "2028-03-20"), "body.to"},
		"the year 9999":       {off("9998-12-31", "9999-01-01"), "body.to"},
		"begins at 24:00":     {hours(schedule.Clock{From: 1440, To: 1500}), "body.intervals[0].from"},
		"empty":               {hours(schedule.Clock{From: 600, To: 600}), "body.intervals[0].to"},
		"over a day":          {hours(schedule.Clock{From: 600, To: 2041}), "body.intervals[0].to"},
		"overlap":             {hours(schedule.Clock{From: 600, To: 700}, schedule.Clock{From: 500, To: 601}), "body.intervals[0].from"},
		"into the next day's": {hours(schedule.Clock{From: 60, To: 120}, schedule.Clock{From: 1200, To: 1501}), "body.intervals[1].to"},
		"long note":           {note(strings.Repeat("ü", 201)), "body.note"},
		"U+0000":              {note("a\x00b"), "body.note"},
	} {
		_, _, err := c.add(v.e)
		var e *errs.Error
		require.ErrorAs(t, err, &e, name)
		require.Equal(t, errs.Invalid, e.Kind, name)
		require.Equal(t, v.field, e.Fields[0].Path, name)
	}
	require.Equal(t, 1, c.rulesNow().Version)
	for name, e := range map[string]schedule.Exception{
		"over today":               off("2027-03-01", "2027-03-10"),
		"366 days":                 off("2027-03-20", "2028-03-19"),
		"as long a note as may be": note(strings.Repeat("ü", 200)),
		"one day may meet itself":  others("2027-03-20", "2027-03-20", schedule.Clock{From: 60, To: 120}, schedule.Clock{From: 1200, To: 1560}),
	} {
		_, _, err := c.add(e)
		require.NoError(t, err, name)
	}
}

// The past is the doctor's: on the other side of the date line it is still yesterday.
func TestService_AddExceptionTodayIsTheDoctors(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	zone := "Pacific/Pago_Pago" // 01:00 of the 10th there
	_, err := c.set(1, schedule.RuleChange{TimeZone: &zone})
	require.NoError(t, err)
	_, _, err = c.add(off("2027-03-10", "2027-03-10"))
	require.NoError(t, err)
	zone = "Pacific/Kiritimati" // 02:00 of the 11th there
	_, err = c.set(3, schedule.RuleChange{TimeZone: &zone})
	require.NoError(t, err)
	_, _, err = c.add(off("2027-03-10", "2027-03-10"))
	require.Equal(t, errs.Invalid, errs.KindOf(err))
}

func TestService_AddExceptionLimit(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	_, _, err := c.add(off("2027-03-11", "2027-03-11"))
	require.NoError(t, err)
	_, err = c.pool.Exec(t.Context(), `
		insert into schedule_exceptions (doctor_id, first_date, last_date, off)
		select $1, $2::date + n, $2::date + n, true from generate_series(-3, $3) as n where n <> 0`,
		c.doctor, today, schedule.MaxExceptions-8)
	require.NoError(t, err)
	var won, refused atomic.Int32
	var workers errgroup.Group
	for range 16 { // for seven places: what is over does not count
		workers.Go(func() error {
			_, _, err := c.add(off("2027-05-01", "2027-05-01"))
			switch {
			case err == nil:
				won.Add(1)
			case errs.CodeOf(err) == "exception_limit":
				refused.Add(1)
				err = nil
			}
			return err
		})
	}
	require.NoError(t, workers.Wait())
	require.EqualValues(t, 7, won.Load())
	require.EqualValues(t, 9, refused.Load())
}

func TestService_AddExceptionManyWorkersOneWinner(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	var won, refused atomic.Int32
	var workers errgroup.Group
	for n := range 16 {
		workers.Go(func() error {
			_, _, err := c.add(schedule.Exception{
				From: date("2027-05-01").AddDate(0, 0, n), To: date("2027-06-01"), Hours: []schedule.Clock{{From: 480, To: 600}},
			})
			switch {
			case err == nil:
				won.Add(1)
			case errs.CodeOf(err) == "exception_overlap":
				refused.Add(1)
				err = nil
			}
			return err
		})
	}
	require.NoError(t, workers.Wait())
	require.EqualValues(t, 1, won.Load())
	require.EqualValues(t, 15, refused.Load())
	require.Equal(t, 2, c.rulesNow().Version)
	require.Len(t, c.rulesNow().Exceptions, 1)
}

func TestService_SetRulesAll(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	require.Equal(t, 2*time.Hour, c.rulesNow().Notice, "the clinic's")
	require.Equal(t, 90*24*time.Hour, c.rulesNow().Horizon)
	quarter, hour, week, eight, yes := 15*time.Minute, time.Hour, 7*24*time.Hour, 8, true
	r, err := c.set(
		1,
		schedule.RuleChange{
			BufferBefore: &quarter, BufferAfter: &hour, Notice: &hour, Horizon: &week, PerDay: &eight, AutoConfirm: &yes,
		},
	)
	require.NoError(t, err)
	require.Equal(t, c.rulesNow(), r)
	require.Equal(t, "Asia/Kathmandu", r.TimeZone, "what is nil stays")
	require.Equal(t, 30, r.SlotMinutes)
	require.Equal(t, []time.Duration{quarter, hour, hour, week},
		[]time.Duration{r.BufferBefore, r.BufferAfter, r.Notice, r.Horizon})
	require.Equal(t, 8, r.PerDay)
	require.True(t, r.AutoConfirm)

	no, none := false, time.Duration(0)
	r, err = c.set(2, schedule.RuleChange{AutoConfirm: &no, Notice: &none})
	require.NoError(t, err)
	require.False(t, r.AutoConfirm)
	require.Zero(t, r.Notice, "no notice is a choice, not the clinic's")
	require.Equal(t, week, r.Horizon)

	minus, long, odd, tooMany := -time.Minute, 91*24*time.Hour, 90*time.Second, 201
	_, err = c.set(3,
		schedule.RuleChange{BufferBefore: &minus, BufferAfter: &odd, Notice: &long, Horizon: &long, PerDay: &tooMany})
	var e *errs.Error
	require.ErrorAs(t, err, &e)
	require.Len(t, e.Fields, 5, "every bad rule is named")
}

func TestService_SetRulesManyWorkersOneWinner(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	var won, stale atomic.Int32
	var workers errgroup.Group
	for n := range 16 {
		workers.Go(func() error {
			_, err := c.set(1, schedule.RuleChange{PerDay: &n})
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
	require.Equal(t, 2, c.rulesNow().Version)
}

// A clinic that shortens its horizon shortens its doctors', and a doctor who never set one follows the clinic's.
func TestService_RulesFollowTheClinic(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	slot, week := 20, 7*24*time.Hour
	_, err := c.set(1, schedule.RuleChange{SlotMinutes: &slot})
	require.NoError(t, err)
	o := options(t, "Asia/Kathmandu")
	o.Notice, o.Horizon = time.Hour, 48*time.Hour
	shorter := schedule.New(schedule.Deps{Options: o})
	read := func() schedule.Rules {
		all, err := shorter.Rules(t.Context(), c.pool, c.doctor)
		require.NoError(t, err)
		return all[c.doctor]
	}
	require.Equal(t, time.Hour, read().Notice)
	require.Equal(t, 48*time.Hour, read().Horizon)
	_, err = c.set(2, schedule.RuleChange{Horizon: &week})
	require.NoError(t, err)
	require.Equal(t, 48*time.Hour, read().Horizon)
	require.Equal(t, week, c.rulesNow().Horizon)
}

// The database refuses what the code would refuse, whoever writes.
func TestSchema_RefusesOverlaps(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	_, _, err := c.add(others("2027-04-01", "2027-04-03", schedule.Clock{From: 480, To: 600}))
	require.NoError(t, err)
	hours := func(weekday, starts, ends int) error {
		_, err := c.pool.Exec(t.Context(),
			`insert into schedule_hours (doctor_id, weekday, starts, ends) values ($1, $2, $3, $4)`, c.doctor, weekday, starts,
			ends)
		return err
	}
	require.NoError(t, hours(7, 1320, 1560), "from Sunday 22:00 to Monday 02:00")
	require.NoError(t, hours(1, 120, 240))
	require.NoError(t, hours(2, 0, 1440))
	require.Equal(t, "schedule_hours_excl", postgres.Constraint(hours(1, 119, 120)), "within Sunday's")
	require.Equal(t, "schedule_hours_excl", postgres.Constraint(hours(1, 1320, 1441)), "into Tuesday's")
	require.Equal(t, "schedule_hours_check", postgres.Constraint(hours(3, 0, 1441)))
	_, err = c.pool.Exec(t.Context(),
		`insert into schedule_exceptions (doctor_id, first_date, last_date, off) values ($1, '2027-04-03', '2027-04-09', false)`,
		c.doctor)
	require.Equal(t, "schedule_exceptions_hours_excl", postgres.Constraint(err))
}
