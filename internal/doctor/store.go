package doctor

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
)

// Name, role and disabled_at live in users, which is account's table. A directory cannot be searched, sorted
// and paged without them, so this file joins users, read-only; nothing here writes it.

// row is a profile without what schedule adds.
type row struct {
	ID             int64
	UserID         string
	Name           string
	Specialization string
	Qualification  string
	Experience     int
	Phone          string
	Version        int
	Active         bool
	Invited        bool
}

func (r row) doctor() Doctor {
	return Doctor{
		ID: r.ID, UserID: r.UserID, Name: r.Name, Specialization: r.Specialization, Qualification: r.Qualification,
		Experience: r.Experience, Phone: r.Phone, Version: r.Version, Active: r.Active, Invited: r.Invited,
	}
}

func selectActive(ctx context.Context, db postgres.DB, publicID string) (Doctor, error) {
	all, err := collect(ctx, db, `
		select u.id, u.public_id as user_id, u.name, d.specialization, d.qualification, d.experience, d.phone,
		       d.version, true as active, u.password_hash is null as invited
		from users u
		join doctors d on d.user_id = u.id
		where u.public_id = $1 and u.role = $2 and u.disabled_at is null`, publicID, auth.Doctor)
	if err != nil {
		return Doctor{}, err
	}
	if len(all) == 0 {
		return Doctor{}, errs.Missing("doctor")
	}
	return all[0], nil
}

func selectByIDs(ctx context.Context, db postgres.DB, ids []int64) ([]Doctor, error) {
	return collect(ctx, db, `
		select u.id, u.public_id as user_id, u.name, d.specialization, d.qualification, d.experience, d.phone,
		       d.version, u.role = $2 and u.disabled_at is null as active, u.password_hash is null as invited
		from users u
		join doctors d on d.user_id = u.id
		where u.id = any($1)`, ids, auth.Doctor)
}

func selectOfSpecialization(ctx context.Context, db postgres.DB, specialization string) ([]Doctor, error) {
	return collect(ctx, db, `
		select u.id, u.public_id as user_id, u.name, d.specialization, d.qualification, d.experience, d.phone,
		       d.version, true as active, u.password_hash is null as invited
		from users u
		join doctors d on d.user_id = u.id
		where lower(d.specialization) = lower($1) and u.role = $2 and u.disabled_at is null and u.password_hash is not null
		order by u.id`, specialization, auth.Doctor)
}

func selectDirectory(ctx context.Context, db postgres.DB, f Filter, after Position, limit int) ([]Doctor, error) {
	return collect(ctx, db, `
		select u.id, u.public_id as user_id, u.name, d.specialization, d.qualification, d.experience, d.phone,
		       d.version, true as active, u.password_hash is null as invited
		from users u
		join doctors d on d.user_id = u.id
		where u.role = $1 and u.disabled_at is null
		  and ($2 = '' or lower(d.specialization) = lower($2))
		  and ($3 = '' or strpos(lower(u.name), lower($3)) > 0
		               or strpos(lower(d.specialization), lower($3)) > 0
		               or strpos(lower(d.qualification), lower($3)) > 0)
		  and (u.name, u.public_id) > ($4, $5)
		order by u.name, u.public_id
		limit $6`, auth.Doctor, f.Specialization, f.Text, after.Name, after.UserID, limit)
}

func collect(ctx context.Context, db postgres.DB, sql string, args ...any) ([]Doctor, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read doctors: %w", postgres.Classify(err))
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[row])
	if err != nil {
		return nil, fmt.Errorf("read doctors: %w", postgres.Classify(err))
	}
	out := make([]Doctor, len(all))
	for i, r := range all {
		out[i] = r.doctor()
	}
	return out, nil
}

// lockDoctor takes the weakest lock that excludes itself: foreign keys to the row may still be checked meanwhile,
// so that assigning a patient neither waits for a booking nor deadlocks with it.
func lockDoctor(ctx context.Context, tx *postgres.Tx, doctorID int64) error {
	var id int64
	err := tx.QueryRow(ctx, `select user_id from doctors where user_id = $1 for no key update`, doctorID).Scan(&id)
	switch {
	case errors.Is(err, postgres.ErrNoRows):
		return errs.Missing("doctor")
	case err != nil:
		return fmt.Errorf("lock doctor %d: %w", doctorID, postgres.Classify(err))
	}
	return nil
}

func insertEmpty(ctx context.Context, tx *postgres.Tx, userID int64) error {
	_, err := tx.Exec(ctx, `
		insert into doctors (user_id, updated_at) values ($1, $2)
		on conflict (user_id) do nothing`, userID, tx.Now())
	if err != nil {
		return fmt.Errorf("make the profile of doctor %d: %w", userID, postgres.Classify(err))
	}
	return nil
}

// updateProfile writes the profile. expect 0 is the first filling of a profile made in the same transaction,
// which keeps its version.
func updateProfile(ctx context.Context, tx *postgres.Tx, doctorID int64, expect int, p Profile) error {
	tag, err := tx.Exec(ctx, `
		update doctors
		set specialization = $3, qualification = $4, experience = $5, phone = $6, updated_at = $7,
		    version = case when $2 = 0 then version else version + 1 end
		where user_id = $1 and ($2 = 0 or version = $2)`,
		doctorID, expect, p.Specialization, p.Qualification, p.Experience, p.Phone, tx.Now())
	if err != nil {
		return fmt.Errorf("change the profile of doctor %d: %w", doctorID, postgres.Classify(err))
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("change the profile of doctor %d: %w", doctorID, errs.ErrStale)
	}
	return nil
}
