package schedule

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"housecall/internal/errs"
	"housecall/internal/postgres"
)

// FirstVersion is the version of a schedule without a row; the first change makes it 2.
const FirstVersion = 1

// settings is the content of a row of schedules; nil means the clinic's default.
type settings struct {
	TimeZone       string
	SlotMinutes    int
	BufferBefore   int // minutes, as are the three below
	BufferAfter    int
	NoticeMinutes  *int
	HorizonMinutes *int
	PerDay         int
	AutoConfirm    bool
}

// scheduleRow is what is stored about one doctor. The lists are parallel columns, in no particular order: the n-th
// entries belong together.
type scheduleRow struct {
	DoctorID int64
	settings
	CustomHours bool
	Version     int
	// The weekly hours.
	Weekdays []int
	Starts   []int
	Ends     []int
	// The exceptions, as in exceptionRow.
	PublicIDs  []string
	FirstDates []time.Time
	LastDates  []time.Time
	Notes      []string
	Opens      []*int
	Closes     []*int
}

func (row scheduleRow) week() []Interval {
	out := make([]Interval, len(row.Weekdays))
	for i := range out {
		out[i] = Interval{Weekday: row.Weekdays[i], From: row.Starts[i], To: row.Ends[i]}
	}
	slices.SortFunc(out, func(a, b Interval) int { return cmp.Compare(a.begins(), b.begins()) })
	return out
}

func (row scheduleRow) exceptionList() []Exception {
	rows := make([]exceptionRow, len(row.PublicIDs))
	for i := range rows {
		rows[i] = exceptionRow{
			PublicID: row.PublicIDs[i], FirstDate: row.FirstDates[i], LastDate: row.LastDates[i], Note: row.Notes[i],
			Starts: row.Opens[i], Ends: row.Closes[i],
		}
	}
	slices.SortFunc(rows, exceptionRow.compare)
	var out []Exception
	for _, r := range rows {
		out = r.appendTo(out)
	}
	return out
}

// exceptionRow is one interval of an exception. An exception's rows are consecutive; Starts and Ends are null if it
// has no hours.
type exceptionRow struct {
	PublicID  string
	FirstDate time.Time
	LastDate  time.Time
	Note      string
	Starts    *int
	Ends      *int
}

// compare sorts exceptions as in Rules, and the rows of one exception by its hours.
func (row exceptionRow) compare(other exceptionRow) int {
	c := cmp.Or(row.FirstDate.Compare(other.FirstDate), row.LastDate.Compare(other.LastDate),
		cmp.Compare(row.PublicID, other.PublicID))
	if c == 0 && row.Starts != nil {
		c = cmp.Compare(*row.Starts, *other.Starts)
	}
	return c
}

// appendTo adds the row's exception, or adds its interval to the exception before.
func (row exceptionRow) appendTo(all []Exception) []Exception {
	if n := len(all); n == 0 || all[n-1].ID != row.PublicID {
		all = append(all, Exception{ID: row.PublicID, From: row.FirstDate, To: row.LastDate, Note: row.Note})
	}
	if row.Starts != nil {
		last := &all[len(all)-1]
		last.Hours = append(last.Hours, Clock{From: *row.Starts, To: *row.Ends})
	}
	return all
}

// queueSchedules reads what is stored about the doctors, one row for each who has any, with the exceptions that end
// at or after since. It is one statement, so that everything has the same version. No exception is longer than 366
// days, so the index finds the relevant ones, however many are past.
func queueSchedules(b *postgres.Batch, use func([]scheduleRow) error, doctorIDs []int64, since time.Time) {
	postgres.QueueRows(b, use, "schedules", `
		select s.doctor_id, s.time_zone, s.slot_minutes, s.buffer_before, s.buffer_after, s.notice_minutes,
		       s.horizon_minutes, s.per_day, s.auto_confirm, s.custom_hours, s.version,
		       h.weekdays, h.starts, h.ends,
		       e.public_ids, e.first_dates, e.last_dates, e.notes, e.opens, e.closes
		from schedules s
		left join (
			select doctor_id, array_agg(weekday) as weekdays, array_agg(starts) as starts, array_agg(ends) as ends
			from schedule_hours
			where doctor_id = any($1)
			group by doctor_id
		) h on h.doctor_id = s.doctor_id
		left join (
			select x.doctor_id,
			       array_agg(x.public_id::text) as public_ids, array_agg(x.first_date) as first_dates,
			       array_agg(x.last_date) as last_dates, array_agg(x.note) as notes, array_agg(i.starts) as opens,
			       array_agg(i.ends) as closes
			from schedule_exceptions x
			left join schedule_exception_hours i on i.exception_id = x.id
			where x.doctor_id = any($1) and x.last_date >= $2::date and x.first_date > $2::date - 366
			group by x.doctor_id
		) e on e.doctor_id = s.doctor_id
		where s.doctor_id = any($1)`, doctorIDs, since)
}

// insertDefaults creates the row of a doctor who has none. Lead time and horizon stay null, so they follow the
// clinic's.
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

// lockSettings reads the doctor's row and locks it until the transaction ends.
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

// bump increases the version and locks the doctor's row until the transaction ends; exceptions change only under this
// lock. It returns postgres.ErrNoRows if there is no row.
func bump(ctx context.Context, tx *postgres.Tx, doctorID int64) (s settings, err error) {
	err = tx.QueryRow(ctx, `
		update schedules set version = version + 1, updated_at = $2 where doctor_id = $1
		returning time_zone, slot_minutes`, doctorID, tx.Now()).Scan(&s.TimeZone, &s.SlotMinutes)
	if err != nil {
		return s, fmt.Errorf("change the schedule of doctor %d: %w", doctorID, postgres.Classify(err))
	}
	return s, nil
}

// replaceHours updates the version first, which locks the row; hours change only under this lock.
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

// lastDay means no bound; no exception reaches it.
var lastDay = time.Date(9999, time.December, 31, 0, 0, 0, 0, time.UTC)

// selectExceptions reads a page of a doctor's exceptions in order, one row for each interval.
func selectExceptions(ctx context.Context, db postgres.DB, doctorID int64, q ExceptionQuery) ([]exceptionRow, error) {
	if q.To.IsZero() {
		q.To = lastDay
	}
	if q.After.ID == "" {
		q.After.ID = uuid.Nil.String()
	}
	rows, err := db.Query(ctx, `
		select e.public_id::text as public_id, e.first_date, e.last_date, e.note, x.starts, x.ends
		from (
			select id, public_id, first_date, last_date, note
			from schedule_exceptions
			where doctor_id = $1 and last_date >= $2::date and first_date > $2::date - 366 and first_date <= $3::date
			  and (first_date, public_id) > ($4::date, $5::uuid)
			order by first_date, public_id
			limit $6
		) e
		left join schedule_exception_hours x on x.exception_id = e.id
		order by e.first_date, e.public_id, x.starts`,
		doctorID, q.From, q.To, q.After.From, q.After.ID, q.Limit)
	if err != nil {
		return nil, fmt.Errorf("read exceptions: %w", postgres.Classify(err))
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByName[exceptionRow])
	if err != nil {
		return nil, fmt.Errorf("read exceptions: %w", postgres.Classify(err))
	}
	return out, nil
}

// countExceptions counts the exceptions that end at or after a date.
func countExceptions(ctx context.Context, tx *postgres.Tx, doctorID int64, since time.Time) (n int, err error) {
	err = tx.QueryRow(ctx, `
		select count(*) from schedule_exceptions
		where doctor_id = $1 and last_date >= $2::date and first_date > $2::date - 366`, doctorID, since).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count the exceptions of doctor %d: %w", doctorID, postgres.Classify(err))
	}
	return n, nil
}

// hoursExcl is the constraint that a date has other hours only once.
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
			"One of these dates already has other hours. Remove that exception first.")
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
