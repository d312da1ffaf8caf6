package patient

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"housecall/internal/errs"
	"housecall/internal/postgres"
)

// Names and public ids live in users, which is account's table. An entry without them is of no use to anyone,
// so this file joins users, read-only; nothing here writes it.

// columns of an entry; every statement below that reads entries ends its from clause in the same two joins.
const columns = `
	u.id, u.public_id as user_id, u.name, p.phone, p.gender, p.date_of_birth, p.address, p.version,
	u.disabled_at is null as active,
	p.doctor_id, coalesce(d.public_id, '') as doctor_user_id, coalesce(d.name, '') as doctor_name
	from patients p
	join users u on u.id = p.user_id
	left join users d on d.id = p.doctor_id`

type row struct {
	ID           int64
	UserID       string
	Name         string
	Phone        string
	Gender       string
	DateOfBirth  *time.Time
	Address      string
	Version      int
	Active       bool
	DoctorID     *int64
	DoctorUserID string
	DoctorName   string
}

func (r row) patient() Patient {
	p := Patient{
		ID: r.ID, UserID: r.UserID, Name: r.Name, Phone: r.Phone, Gender: r.Gender, DateOfBirth: r.DateOfBirth,
		Address: r.Address, Active: r.Active, Version: r.Version,
	}
	if r.DoctorID != nil {
		p.Doctor = &Assigned{ID: *r.DoctorID, UserID: r.DoctorUserID, Name: r.DoctorName}
	}
	return p
}

func selectEntry(ctx context.Context, db postgres.DB, publicID string) (Patient, error) {
	return single(collect(ctx, db, `select`+columns+` where u.public_id = $1`, publicID))
}

// selectEntryForUpdate locks the entry against other changes, not against foreign keys: a booking of the patient
// goes on.
func selectEntryForUpdate(ctx context.Context, tx *postgres.Tx, publicID string) (Patient, error) {
	return single(collect(ctx, tx, `select`+columns+` where u.public_id = $1 for no key update of p`, publicID))
}

func selectByIDs(ctx context.Context, db postgres.DB, ids []int64) ([]Patient, error) {
	return collect(ctx, db, `select`+columns+` where p.user_id = any($1) order by p.user_id`, ids)
}

func selectAfter(ctx context.Context, db postgres.DB, after int64, limit int) ([]Patient, error) {
	return collect(ctx, db, `select`+columns+` where p.user_id > $1 order by p.user_id limit $2`, after, limit)
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

func insertEntry(ctx context.Context, tx *postgres.Tx, userID int64, d Details) error {
	_, err := tx.Exec(ctx, `
		insert into patients (user_id, phone, gender, date_of_birth, address, created_at, updated_at)
		values ($1, $2, $3, $4, $5, $6, $6)
		on conflict (user_id) do nothing`, userID, d.Phone, d.Gender, d.DateOfBirth, d.Address, tx.Now())
	if err != nil {
		return fmt.Errorf("make the entry of user %d: %w", userID, postgres.Classify(err))
	}
	return nil
}

func updateDetails(ctx context.Context, tx *postgres.Tx, id int64, expect int, d Details) error {
	tag, err := tx.Exec(ctx, `
		update patients
		set phone = $3, gender = $4, date_of_birth = $5, address = $6, updated_at = $7, version = version + 1
		where user_id = $1 and version = $2`, id, expect, d.Phone, d.Gender, d.DateOfBirth, d.Address, tx.Now())
	if err != nil {
		return fmt.Errorf("change the entry of user %d: %w", id, postgres.Classify(err))
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("change the entry of user %d: %w", id, errs.ErrStale)
	}
	return nil
}

func updateDoctor(ctx context.Context, tx *postgres.Tx, id int64, doctorID *int64) error {
	_, err := tx.Exec(ctx, `
		update patients set doctor_id = $2, updated_at = $3, version = version + 1
		where user_id = $1 and doctor_id is distinct from $2`, id, doctorID, tx.Now())
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
