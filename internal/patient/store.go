package patient

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
)

// Names and public ids are in users, package account's table. An entry is useless without them, so this file joins
// users, but never writes it.

// columns of an entry; every statement below that reads entries ends its from clause in the same two joins.
const columns = `
	u.id, u.public_id as user_id, u.name, p.phone,
	case when p.phone_from = p.phone then p.phone_e164 else '' end as phone_e164,
	p.gender, p.date_of_birth, p.age_years, p.age_recorded_on,
	p.address, p.version,
	u.disabled_at is null as active, p.created_at, p.updated_at,
	coalesce(p.created_by, 0) as created_by, coalesce(p.updated_by, 0) as updated_by,
	p.doctor_id, coalesce(d.public_id, '') as doctor_user_id, coalesce(d.name, '') as doctor_name
	from patients p
	join users u on u.id = p.user_id
	left join users d on d.id = p.doctor_id`

type row struct {
	ID            int64
	UserID        string
	Name          string
	Phone         string
	PhoneE164     string
	Gender        string
	DateOfBirth   *time.Time
	AgeYears      *int
	AgeRecordedOn *time.Time
	Address       string
	Version       int
	Active        bool
	CreatedAt     time.Time
	UpdatedAt     time.Time
	CreatedBy     int64
	UpdatedBy     int64
	DoctorID      *int64
	DoctorUserID  string
	DoctorName    string
}

func (r row) patient() Patient {
	p := Patient{
		ID: r.ID, UserID: r.UserID, Name: r.Name, Phone: r.Phone, PhoneE164: r.PhoneE164, Gender: r.Gender,
		DateOfBirth: r.DateOfBirth, Address: r.Address, Active: r.Active, Version: r.Version, CreatedAt: r.CreatedAt,
		UpdatedAt: r.UpdatedAt, CreatedBy: r.CreatedBy, UpdatedBy: r.UpdatedBy,
	}
	if r.AgeYears != nil && r.AgeRecordedOn != nil {
		p.StatedAge = &StatedAge{Years: *r.AgeYears, On: *r.AgeRecordedOn}
	}
	if r.DoctorID != nil {
		p.Doctor = &Assigned{ID: *r.DoctorID, UserID: r.DoctorUserID, Name: r.DoctorName}
	}
	return p
}

func selectEntry(ctx context.Context, db postgres.DB, publicID string) (Patient, error) {
	return single(collect(ctx, db, `select`+columns+` where u.public_id = $1`, publicID))
}

// selectEntryForUpdate locks the entry against other changes but not against foreign keys, so that the patient's
// bookings do not wait.
func selectEntryForUpdate(ctx context.Context, tx *postgres.Tx, publicID string) (Patient, error) {
	return single(collect(ctx, tx, `select`+columns+` where u.public_id = $1 for no key update of p`, publicID))
}

func selectByIDs(ctx context.Context, db postgres.DB, ids []int64) ([]Patient, error) {
	return collect(ctx, db, `select`+columns+` where p.user_id = any($1) order by p.user_id`, ids)
}

func queueActive(b *postgres.Batch, id int64, into *bool) {
	postgres.QueueColumn(b, func(found []bool) error {
		*into = len(found) > 0 && found[0]
		return nil
	}, "patient", `select u.disabled_at is null from patients p join users u on u.id = p.user_id where p.user_id = $1`, id)
}

func selectAfter(ctx context.Context, db postgres.DB, after int64, limit int) ([]Patient, error) {
	return collect(ctx, db, `select`+columns+` where p.user_id > $1 order by p.user_id limit $2`, after, limit)
}

// selectBefore returns the entries below an id (0: all), the newest user first.
func selectBefore(ctx context.Context, db postgres.DB, before int64, limit int) ([]Patient, error) {
	return collect(ctx, db, `select`+columns+`
		where $1::bigint = 0 or p.user_id < $1 order by p.user_id desc limit $2`, before, limit)
}

func selectAssigned(ctx context.Context, db postgres.DB, doctorID, after int64, limit int) ([]int64, error) {
	rows, err := db.Query(ctx, `
		select user_id from patients
		where doctor_id = $1 and user_id > $2
		order by user_id
		limit $3`, doctorID, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read assigned patients: %w", postgres.Classify(err))
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("read assigned patients: %w", postgres.Classify(err))
	}
	return ids, nil
}

// insertEntry creates an entry. If there is one already, it does nothing and fresh is false.
func insertEntry(
	ctx context.Context, tx *postgres.Tx, by auth.Actor, userID int64, d Details,
) (fresh bool, err error) {
	years, on := d.StatedAge.columns()
	tag, err := tx.Exec(ctx, `
		insert into patients
			(user_id, phone, phone_e164, phone_from, gender, date_of_birth, age_years, age_recorded_on, address, created_at,
			 updated_at, created_by, updated_by)
		values ($1, $2, $9, $2, $3, $4, $5, $6, $7, $8, $8, nullif($10::bigint, 0), nullif($10::bigint, 0))
		on conflict (user_id) do nothing`,
		userID, d.Phone, d.Gender, d.DateOfBirth, years, on, d.Address, tx.Now(), d.phoneE164, by.ID)
	if err != nil {
		return false, fmt.Errorf("make the entry of user %d: %w", userID, postgres.Classify(err))
	}
	return tag.RowsAffected() == 1, nil
}

func insertSignup(ctx context.Context, tx *postgres.Tx, userID int64, d Details) error {
	_, err := tx.Exec(ctx, `
		insert into patient_signups (user_id, phone, gender, date_of_birth, address, created_at)
		values ($1, $2, $3, $4, $5, $6)`, userID, d.Phone, d.Gender, d.DateOfBirth, d.Address, tx.Now())
	if err != nil {
		return fmt.Errorf("keep the sign-up of user %d: %w", userID, postgres.Classify(err))
	}
	return nil
}

// deleteSignup deletes and returns what a user entered at sign-up; ok is false if there is nothing.
func deleteSignup(ctx context.Context, tx *postgres.Tx, userID int64) (d Details, ok bool, err error) {
	err = tx.QueryRow(ctx, `
		delete from patient_signups where user_id = $1
		returning phone, gender, date_of_birth, address`, userID).Scan(&d.Phone, &d.Gender, &d.DateOfBirth, &d.Address)
	switch {
	case errors.Is(err, postgres.ErrNoRows):
		return Details{}, false, nil
	case err != nil:
		return Details{}, false, fmt.Errorf("take the sign-up of user %d: %w", userID, postgres.Classify(err))
	}
	return d, true, nil
}

// signedUp reports whether a user is waiting to be registered.
func signedUp(ctx context.Context, db postgres.DB, publicID string) (bool, error) {
	var yes bool
	err := db.QueryRow(ctx, `
		select exists (select from patient_signups s join users u on u.id = s.user_id where u.public_id = $1)`,
		publicID).Scan(&yes)
	if err != nil {
		return false, fmt.Errorf("look for a sign-up: %w", postgres.Classify(err))
	}
	return yes, nil
}

// candidate is a user who might become a patient.
type candidate struct {
	UserID string
	Role   auth.Role
	Active bool
}

// lockCandidate reads a user and locks their role until the transaction ends; errs.NotFound if there is no such user.
func lockCandidate(ctx context.Context, tx *postgres.Tx, userID int64) (c candidate, err error) {
	err = tx.QueryRow(ctx, `
		select public_id, role, disabled_at is null from users where id = $1 for share`,
		userID).Scan(&c.UserID, &c.Role, &c.Active)
	switch {
	case errors.Is(err, postgres.ErrNoRows):
		return candidate{}, errs.Missing("user")
	case err != nil:
		return candidate{}, fmt.Errorf("read user %d: %w", userID, postgres.Classify(err))
	}
	return c, nil
}

// columns returns the age as stored, both null if there is none.
func (a *StatedAge) columns() (years *int, on *time.Time) {
	if a == nil {
		return nil, nil
	}
	return &a.Years, &a.On
}

func updateDetails(
	ctx context.Context, tx *postgres.Tx, by auth.Actor, id int64, expect int, d Details,
) error {
	years, on := d.StatedAge.columns()
	tag, err := tx.Exec(ctx, `
		update patients
		set phone = $3, phone_e164 = $10, phone_from = $3, gender = $4, date_of_birth = $5, age_years = $6,
		    age_recorded_on = $7, address = $8, updated_at = $9, updated_by = nullif($11::bigint, 0), version = version + 1
		where user_id = $1 and version = $2`,
		id, expect, d.Phone, d.Gender, d.DateOfBirth, years, on, d.Address, tx.Now(), d.phoneE164, by.ID)
	if err != nil {
		return fmt.Errorf("change the entry of user %d: %w", id, postgres.Classify(err))
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("change the entry of user %d: %w", id, errs.ErrStale)
	}
	return nil
}

func updateDoctor(ctx context.Context, tx *postgres.Tx, by auth.Actor, id int64, doctorID *int64) error {
	_, err := tx.Exec(ctx, `
		update patients set doctor_id = $2, updated_at = $3, updated_by = nullif($4::bigint, 0), version = version + 1
		where user_id = $1 and doctor_id is distinct from $2`, id, doctorID, tx.Now(), by.ID)
	if err != nil {
		return fmt.Errorf("assign a doctor to user %d: %w", id, postgres.Classify(err))
	}
	return nil
}

func collect(ctx context.Context, db postgres.DB, sql string, args ...any) ([]Patient, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read patients: %w", postgres.Classify(err))
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[row])
	if err != nil {
		return nil, fmt.Errorf("read patients: %w", postgres.Classify(err))
	}
	out := make([]Patient, len(all))
	for i, r := range all {
		out[i] = r.patient()
	}
	return out, nil
}

func single(all []Patient, err error) (Patient, error) {
	if err != nil {
		return Patient{}, err
	}
	if len(all) == 0 {
		return Patient{}, errs.Missing("patient")
	}
	return all[0], nil
}
