package schedule

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

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
	// Of an exception; null in a row of the weekly hours.
	ExceptionID *string
	FirstDate   *time.Time
	LastDate    *time.Time
	Note        *string
	// Of an interval; null without hours. Weekday is null in a row of an exception.
	Weekday *int
	Starts  *int
	Ends    *int
}

// selectSchedules gives what is kept about the doctors: a row for each interval of their weeks and of the exceptions
// that are not over before since, in order, or a row without one. It is one statement, so that all is of one version.
func selectSchedules(ctx context.Context, db postgres.DB, doctorIDs []int64, since time.Time) ([]scheduleRow, error) {
	rows, err := db.Query(ctx, `
		select s.doctor_id, s.time_zone, s.slot_minutes, s.buffer_before, s.buffer_after, s.notice_minutes,
		       s.horizon_minutes, s.per_day, s.auto_confirm, s.custom_hours, s.version,
		       p.public_id::text as exception_id, p.first_date, p.last_date, p.note, p.weekday, p.starts, p.ends
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
