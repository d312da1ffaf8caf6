package doctor

import (
	"cmp"
	"context"

	"github.com/jackc/pgx/v5"

	"housecall/internal/postgres"
)

// byCollation is a collate clause; "" is the database's own collation.
func byCollation(name string) string {
	return ` collate ` + pgx.Identifier{cmp.Or(name, "default")}.Sanitize()
}

func tryCollation(ctx context.Context, db postgres.DB, name string) error {
	_, err := postgres.Exec(ctx, db, "compare texts", `select 'a' < 'b'`+byCollation(name))
	return err
}

// underived is what is derived from a profile, and from what.
type underived struct {
	UserID         int64
	Specialization string
	Qualification  string
	Phone          string

	folded, from, e164 string
}

// lockUnderived returns profiles with something derived that is not up to date, and locks them; it passes over locked
// ones.
func lockUnderived(ctx context.Context, tx *postgres.Tx, limit int) ([]underived, error) {
	return postgres.Rows[underived](ctx, tx, "profiles to fold", `
		select user_id, specialization, qualification, phone from doctors d
		where phone_from <> phone or folded_from is distinct from `+foldedFrom+`
		order by user_id limit $1 for no key update skip locked`, limit)
}

// saveDerived writes what was derived. The version stays: nobody has changed the profile.
func saveDerived(ctx context.Context, tx *postgres.Tx, some []underived) error {
	var ids []int64
	var folded, from, phones, e164 []string
	for _, u := range some {
		ids, folded, from = append(ids, u.UserID), append(folded, u.folded), append(from, u.from)
		phones, e164 = append(phones, u.Phone), append(e164, u.e164)
	}
	_, err := postgres.Exec(ctx, tx, "fold profiles", `
		update doctors d set folded = r.folded, folded_from = r.folded_from, phone_e164 = r.e164, phone_from = r.phone
		from unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[])
		     r(id, folded, folded_from, phone, e164)
		where d.user_id = r.id`, ids, folded, from, phones, e164)
	return err
}
