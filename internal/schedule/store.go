package schedule

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"housecall/internal/errs"
	"housecall/internal/postgres"
)

// FirstVersion is what a schedule without a row has; the first change makes it 2.
const FirstVersion = 1

// settings is what a row of schedules says; nil is the clinic's.
type settings struct {
	TimeZone       string
	SlotMinutes    int
	BufferBefore   int // minutes, as the three below
	BufferAfter    int
	NoticeMinutes  *int
	HorizonMinutes *int
	PerDay         int
	AutoConfirm    bool
}

type scheduleRow struct {
	DoctorID int64
	settings
	CustomHours bool
	Version     int
	Weekday     *int // null in a row of an exception, or without hours
	exceptionRow
}

// exceptionRow is one interval of an exception, whose rows follow each other. In a row of the weekly hours all but the
// last two are null; those are null without hours.
type exceptionRow struct {
	PublicID  *string
	FirstDate *time.Time
	LastDate  *time.Time
	Note      *string
	Starts    *int
	Ends      *int
}

// appendTo adds the row's exception, or its interval to the exception before.
func (row exceptionRow) appendTo(all []Exception) []Exception {
	if n := len(all); n == 0 || all[n-1].ID != *row.PublicID {
		all = append(all, Exception{ID: *row.PublicID, From: *row.FirstDate, To: *row.LastDate, Note: *row.Note})
	}
	if row.Starts != nil {
		last := &all[len(all)-1]
		last.Hours = append(last.Hours, Clock{From: *row.Starts, To: *row.Ends})
	}
	return all
}

// selectSchedules gives what is kept about the doctors: a row for each interval of their weeks and of the exceptions
// that are not over before since, in order, or a row without one. It is one statement, so that all is of one version.
func selectSchedules(ctx context.Context, db postgres.DB, doctorIDs []int64, since time.Time) ([]scheduleRow, error) {
	rows, err := db.Query(ctx, `
		select s.doctor_id, s.time_zone, s.slot_minutes, s.buffer_before, s.buffer_after, s.notice_minutes,
		       s.horizon_minutes, s.per_day, s.auto_confirm, s.custom_hours, s.version,
		       p.public_id::text as public_id, p.first_date, p.last_date, p.note, p.weekday, p.starts, p.ends
		from schedules s
		left join (
			select h.doctor_id, null::bigint as id, null::uuid as public_id, null::date as first_date,
			       null::date as last_date, null::text as note, h.weekday, h.starts, h.ends
			from schedule_hours h
			where h.doctor_id = any($1)
			union all
			select e.doctor_id, e.id, e.public_id, e.first_date, e.last_date, e.note, null, x.starts, x.ends
			from schedule_exceptions e
			left join schedule_exception_hours x on x.exception_id = e.id
			where e.doctor_id = any($1) and e.last_date >= $2::date
		) p on p.doctor_id = s.doctor_id
		where s.doctor_id = any($1)
		order by s.doctor_id, p.weekday, p.first_date, p.last_date, p.id, p.starts`, doctorIDs, since)
	if err != nil {
		return nil, fmt.Errorf("read schedules: %w", postgres.Classify(err))
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByName[scheduleRow])
	if err != nil {
		return nil, fmt.Errorf("read schedules: %w", postgres.Classify(err))
	}
	return out, nil
}

// insertDefaults makes the row of a doctor who has none; notice and horizon stay the clinic's, whatever those become.
func insertDefaults(ctx context.Context, tx *postgres.Tx, r Rules) error {
	_, err := tx.Exec(ctx, `
		insert into schedules (doctor_id, time_zone, slot_minutes, custom_hours, version, updated_at)
		values ($1, $2, $3, $4, $5, $6)
		on conflict (doctor_id) do nothing`,
		r.DoctorID, r.TimeZone, r.SlotMinutes, r.CustomHours, r.Version, tx.Now())
	if err != nil {
		return fmt.Errorf("make the schedule of doctor %d: %w", r.DoctorID, postgres.Classify(err))
	}
	return nil
}

func updateRules(ctx context.Context, tx *postgres.Tx, doctorID int64, expect int, s settings) error {
	tag, err := tx.Exec(ctx, `
		update schedules
		set time_zone = $3, slot_minutes = $4, buffer_before = $5, buffer_after = $6, notice_minutes = $7,
		    horizon_minutes = $8, per_day = $9, auto_confirm = $10, version = version + 1, updated_at = $11
		where doctor_id = $1 and version = $2`,
		doctorID, expect, s.TimeZone, s.SlotMinutes, s.BufferBefore, s.BufferAfter, s.NoticeMinutes,
		s.HorizonMinutes, s.PerDay, s.AutoConfirm, tx.Now())
	if err != nil {
		return fmt.Errorf("change the schedule of doctor %d: %w", doctorID, postgres.Classify(err))
	}
	if tag.RowsAffected() == 0 {
		return stale(doctorID)
	}
	return nil
}

// lockSettings reads what the doctor's row says and keeps it until the transaction ends.
func lockSettings(ctx context.Context, tx *postgres.Tx, doctorID int64) (s settings, version int, err error) {
	err = tx.QueryRow(ctx, `
		select time_zone, slot_minutes, buffer_before, buffer_after, notice_minutes, horizon_minutes, per_day,
		       auto_confirm, version
		from schedules where doctor_id = $1 for no key update`, doctorID).
		Scan(&s.TimeZone, &s.SlotMinutes, &s.BufferBefore, &s.BufferAfter, &s.NoticeMinutes, &s.HorizonMinutes,
			&s.PerDay, &s.AutoConfirm, &version)
	if err != nil {
		return s, 0, fmt.Errorf("lock the schedule of doctor %d: %w", doctorID, postgres.Classify(err))
	}
	return s, version, nil
}

// bump moves the version on and keeps the doctor's row until the transaction ends: it is the lock under which his
// exceptions change. postgres.ErrNoRows without a row.
func bump(ctx context.Context, tx *postgres.Tx, doctorID int64) (s settings, err error) {
	err = tx.QueryRow(ctx, `
		update schedules set version = version + 1, updated_at = $2 where doctor_id = $1
		returning time_zone, slot_minutes`, doctorID, tx.Now()).Scan(&s.TimeZone, &s.SlotMinutes)
	if err != nil {
		return s, fmt.Errorf("change the schedule of doctor %d: %w", doctorID, postgres.Classify(err))
	}
	return s, nil
}

// replaceHours swaps the version first: that row is the lock under which the hours change.
func replaceHours(ctx context.Context, tx *postgres.Tx, doctorID int64, expect int, week []Interval) error {
	tag, err := tx.Exec(ctx, `
		update schedules
		set custom_hours = true, version = version + 1, updated_at = $3
		where doctor_id = $1 and version = $2`,
		doctorID, expect, tx.Now())
	if err != nil {
		return fmt.Errorf("change the schedule of doctor %d: %w", doctorID, postgres.Classify(err))
	}
	if tag.RowsAffected() == 0 {
		return stale(doctorID)
	}
	if _, err := tx.Exec(ctx, `delete from schedule_hours where doctor_id = $1`, doctorID); err != nil {
		return fmt.Errorf("drop the hours of doctor %d: %w", doctorID, postgres.Classify(err))
	}
	weekdays, starts, ends := make([]int16, len(week)), make([]int16, len(week)), make([]int16, len(week))
	for i, v := range week {
		weekdays[i], starts[i], ends[i] = int16(v.Weekday), int16(v.From), int16(v.To)
	}
	_, err = tx.Exec(ctx, `
		insert into schedule_hours (doctor_id, weekday, starts, ends)
		select $1, weekday, starts, ends
		from unnest($2::smallint[], $3::smallint[], $4::smallint[]) as week (weekday, starts, ends)`,
		doctorID, weekdays, starts, ends)
	if err != nil {
		return fmt.Errorf("write the hours of doctor %d: %w", doctorID, postgres.Classify(err))
	}
	return nil
}

// lastDay stands for no bound; no exception reaches it.
var lastDay = time.Date(9999, time.December, 31, 0, 0, 0, 0, time.UTC)

// selectExceptions gives up to limit of a doctor's exceptions, a row for each of their intervals, in order.
func selectExceptions(ctx context.Context, db postgres.DB, doctorID int64, p Period, after Position, limit int) ([]exceptionRow, error) {
	if p.To.IsZero() {
		p.To = lastDay
	}
	if after.ID == "" {
		after.ID = uuid.Nil.String()
	}
	rows, err := db.Query(ctx, `
		select e.public_id::text as public_id, e.first_date, e.last_date, e.note, x.starts, x.ends
		from (
			select id, public_id, first_date, last_date, note
			from schedule_exceptions
			where doctor_id = $1 and last_date >= $2::date and first_date <= $3::date
			  and (first_date, public_id) > ($4::date, $5::uuid)
			order by first_date, public_id
			limit $6
		) e
		left join schedule_exception_hours x on x.exception_id = e.id
		order by e.first_date, e.public_id, x.starts`,
		doctorID, p.From, p.To, after.From, after.ID, limit)
	if err != nil {
		return nil, fmt.Errorf("read exceptions: %w", postgres.Classify(err))
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByName[exceptionRow])
	if err != nil {
		return nil, fmt.Errorf("read exceptions: %w", postgres.Classify(err))
	}
	return out, nil
}

// countExceptions counts those that are not over before a date.
func countExceptions(ctx context.Context, tx *postgres.Tx, doctorID int64, since time.Time) (n int, err error) {
	err = tx.QueryRow(ctx, `select count(*) from schedule_exceptions where doctor_id = $1 and last_date >= $2::date`,
		doctorID, since).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count the exceptions of doctor %d: %w", doctorID, postgres.Classify(err))
	}
	return n, nil
}

// hoursExcl keeps a date from having other hours twice.
const hoursExcl = "schedule_exceptions_hours_excl"

func insertException(ctx context.Context, tx *postgres.Tx, doctorID int64, e Exception) (Exception, error) {
	starts, ends := make([]int16, len(e.Hours)), make([]int16, len(e.Hours))
	for i, c := range e.Hours {
		starts[i], ends[i] = int16(c.From), int16(c.To)
	}
	err := tx.QueryRow(ctx, `
		with made as (
			insert into schedule_exceptions (doctor_id, first_date, last_date, off, note, created_at)
			values ($1, $2, $3, $4, $5, $6)
			returning id, public_id
		), hours as (
			insert into schedule_exception_hours (exception_id, starts, ends)
			select made.id, day.starts, day.ends
			from made, unnest($7::smallint[], $8::smallint[]) as day (starts, ends)
		)
		select public_id::text from made`,
		doctorID, e.From, e.To, e.Off(), e.Note, tx.Now(), starts, ends).Scan(&e.ID)
	switch {
	case postgres.Constraint(err) == hoursExcl:
		return Exception{}, errs.New(errs.Conflict, "exception_overlap",
			"One of these dates has other hours already. Remove that exception first.")
	case err != nil:
		return Exception{}, fmt.Errorf("add an exception for doctor %d: %w", doctorID, postgres.Classify(err))
	}
	return e, nil
}

func deleteException(ctx context.Context, tx *postgres.Tx, doctorID int64, id string) error {
	tag, err := tx.Exec(ctx, `delete from schedule_exceptions where doctor_id = $1 and public_id = $2::uuid`, doctorID, id)
	if err != nil {
		return fmt.Errorf("remove an exception of doctor %d: %w", doctorID, postgres.Classify(err))
	}
	if tag.RowsAffected() == 0 {
		return errs.Missing("exception")
	}
	return nil
}
