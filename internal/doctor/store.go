package doctor

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
	"housecall/internal/text"
)

// Name, role and disabled_at are in users, package account's table. The directory cannot be searched, sorted and
// paged without them, so this file joins users, but never writes it.

// row is a profile without what package schedule adds.
type row struct {
	ID             int64
	UserID         string
	Name           string
	Specialization string
	Qualification  string
	Experience     int
	Phone          string
	PhoneE164      string
	Version        int
	Active         bool
	Invited        bool
}

func (r row) doctor() Doctor {
	return Doctor{
		ID: r.ID, UserID: r.UserID, Name: r.Name, Specialization: r.Specialization, Qualification: r.Qualification,
		Experience: r.Experience, Phone: r.Phone, PhoneE164: r.PhoneE164,
		Version: r.Version, Active: r.Active, Invited: r.Invited,
	}
}

// phone is a telephone number as typed, and in E.164 if that was made from it.
const phone = `d.phone, case when d.phone_from = d.phone then d.phone_e164 else '' end as phone_e164`

// active finds the doctor with a public id, if the user has that role and is not disabled.
const active = `
	select u.id, u.public_id as user_id, u.name, d.specialization, d.qualification, d.experience, ` + phone + `,
	       d.version, true as active, u.password_hash is null as invited
	from users u
	join doctors d on d.user_id = u.id
	where u.public_id = $1 and u.role = 'DOCTOR' and u.disabled_at is null`

func selectActive(ctx context.Context, db postgres.DB, publicID string) (Doctor, error) {
	all, err := collect(ctx, db, active, publicID)
	if err != nil {
		return Doctor{}, err
	}
	if len(all) == 0 {
		return Doctor{}, errs.Missing("doctor")
	}
	return all[0], nil
}

// lockActive is selectActive with the doctor's row locked. The lock is a separate statement, because a statement that
// waits for a lock sees the doctor as they were before.
func lockActive(ctx context.Context, tx *postgres.Tx, publicID string) (d Doctor, err error) {
	b := &postgres.Batch{}
	postgres.QueueExec(b, "lock the doctor", `
		select from doctors where user_id = (select id from users where public_id = $1) for no key update`, publicID)
	postgres.QueueRows(b, func(found []row) error {
		if len(found) == 0 {
			return errs.Missing("doctor")
		}
		d = found[0].doctor()
		return nil
	}, "doctors", active, publicID)
	return d, postgres.Send(ctx, tx, b)
}

// byIDs finds doctors by id, including disabled and former ones.
const byIDs = `
	select u.id, u.public_id as user_id, u.name, d.specialization, d.qualification, d.experience, ` + phone + `,
	       d.version, u.role = 'DOCTOR' and u.disabled_at is null as active, u.password_hash is null as invited
	from users u
	join doctors d on d.user_id = u.id
	where u.id = any($1)`

func selectByIDs(ctx context.Context, db postgres.DB, ids []int64) ([]Doctor, error) {
	return collect(ctx, db, byIDs, ids)
}

func queueByIDs(b *postgres.Batch, use func([]row) error, ids []int64) {
	postgres.QueueRows(b, use, "doctors", byIDs, ids)
}

func selectOfSpecialization(ctx context.Context, db postgres.DB, specialization string) ([]Doctor, error) {
	return collect(ctx, db, `
		select u.id, u.public_id as user_id, u.name, d.specialization, d.qualification, d.experience, `+phone+`,
		       d.version, true as active, u.password_hash is null as invited
		from users u
		join doctors d on d.user_id = u.id
		where lower(d.specialization) = lower($1) and u.role = $2 and u.disabled_at is null and u.password_hash is not null
		order by u.id`, specialization, auth.Doctor)
}

// selectBefore returns the active doctors below an id (0: all), the newest user first.
func selectBefore(ctx context.Context, db postgres.DB, before int64, limit int) ([]Doctor, error) {
	return collect(ctx, db, `
		select u.id, u.public_id as user_id, u.name, d.specialization, d.qualification, d.experience, `+phone+`,
		       d.version, true as active, u.password_hash is null as invited
		from users u
		join doctors d on d.user_id = u.id
		where u.role = $1 and u.disabled_at is null and ($2::bigint = 0 or u.id < $2)
		order by u.id desc
		limit $3`, auth.Doctor, before, limit)
}

// selectDirectory finds a text in what is folded where that is up to date (see CatchUp), and in the texts themselves
// elsewhere. Two names that a collation considers equal differ in their bytes, so the order of the pages is one.
func selectDirectory(
	ctx context.Context, db postgres.DB, collation string, f Filter, after Position, limit int,
) ([]Doctor, error) {
	name := `u.name` + byCollation(collation)
	return collect(ctx, db, `
		select u.id, u.public_id as user_id, u.name, d.specialization, d.qualification, d.experience, `+phone+`,
		       d.version, true as active, u.password_hash is null as invited
		from users u
		join doctors d on d.user_id = u.id
		where u.role = $1 and u.disabled_at is null
		  and ($2 = '' or lower(d.specialization) = lower($2))
		  and ($3 = ''
		       or case when u.folded_from = u.name then $4 <> '' and strpos(u.folded, $4) > 0
		               else strpos(lower(u.name), lower($3)) > 0 end
		       or case when d.folded_from = `+foldedFrom+` then $4 <> '' and strpos(d.folded, $4) > 0
		               else strpos(lower(d.specialization), lower($3)) > 0
		                    or strpos(lower(d.qualification), lower($3)) > 0 end)
		  and (`+name+`, u.public_id) > ($5, $6)
		order by `+name+`, u.public_id
		limit $7`, auth.Doctor, f.Specialization, f.Text, text.Fold(f.Text), after.Name, after.UserID, limit)
}

// foldedFrom is what Profile.folded is made from.
const foldedFrom = `d.specialization || E'\n' || d.qualification`

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

// queueLock takes the weakest lock that excludes itself. It allows checks of foreign keys to the row, so that
// assigning a patient neither waits for a booking nor deadlocks with it.
func queueLock(b *postgres.Batch, ids []int64) {
	ids = slices.DeleteFunc(slices.Clone(ids), func(id int64) bool { return id == 0 })
	slices.Sort(ids)
	ids = slices.Compact(ids)
	postgres.QueueColumn(b, func(held []int64) error {
		if len(held) < len(ids) {
			return errs.Missing("doctor")
		}
		return nil
	}, "doctors to lock", `
		select user_id from doctors where user_id = any($1) order by user_id for no key update`, ids)
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

// updateProfile writes the profile. With expect 0, it fills in a profile created in the same transaction and keeps
// its version.
func updateProfile(ctx context.Context, tx *postgres.Tx, doctorID int64, expect int, p Profile) error {
	folded, from := p.folded()
	tag, err := tx.Exec(ctx, `
		update doctors
		set specialization = $3, qualification = $4, experience = $5, updated_at = $7,
		    phone = $6, phone_e164 = $8, phone_from = $6, folded = $9, folded_from = $10,
		    version = case when $2 = 0 then version else version + 1 end
		where user_id = $1 and ($2 = 0 or version = $2)`,
		doctorID, expect, p.Specialization, p.Qualification, p.Experience, p.Phone, tx.Now(), p.phoneE164, folded, from)
	if err != nil {
		return fmt.Errorf("change the profile of doctor %d: %w", doctorID, postgres.Classify(err))
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("change the profile of doctor %d: %w", doctorID, errs.ErrStale)
	}
	return nil
}
