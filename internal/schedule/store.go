package schedule

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"housecall/internal/postgres"
)

// FirstVersion is what a schedule without a row has; the first change makes it 2.
const FirstVersion = 1

type scheduleRow struct {
	DoctorID    int64
	TimeZone    string
	SlotMinutes int
	CustomHours bool
	Version     int
	Weekday     *int // null, as the two below: no hours
	Starts      *int
	Ends        *int
}

// selectSchedules gives what is kept about the doctors: a row for each of their intervals, in order, or one
// without an interval. It is one statement, so that rules and hours are of one version.
func selectSchedules(ctx context.Context, db postgres.DB, doctorIDs []int64) ([]scheduleRow, error) {
	rows, err := db.Query(ctx, `
		select s.doctor_id, s.time_zone, s.slot_minutes, s.custom_hours, s.version, h.weekday, h.starts, h.ends
		from schedules s
		left join schedule_hours h on h.doctor_id = s.doctor_id
		where s.doctor_id = any($1)
		order by s.doctor_id, h.weekday, h.starts`, doctorIDs)
	if err != nil {
		return nil, fmt.Errorf("read schedules: %w", postgres.Classify(err))
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByName[scheduleRow])
	if err != nil {
		return nil, fmt.Errorf("read schedules: %w", postgres.Classify(err))
	}
	return out, nil
}

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

func updateRules(ctx context.Context, tx *postgres.Tx, doctorID int64, expect int, timeZone string, slotMinutes int) error {
	tag, err := tx.Exec(ctx, `
		update schedules
		set time_zone = $3, slot_minutes = $4, version = version + 1, updated_at = $5
		where doctor_id = $1 and version = $2`,
		doctorID, expect, timeZone, slotMinutes, tx.Now())
	if err != nil {
		return fmt.Errorf("change the schedule of doctor %d: %w", doctorID, postgres.Classify(err))
	}
	if tag.RowsAffected() == 0 {
		return stale(doctorID)
	}
	return nil
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
