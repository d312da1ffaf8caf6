package account

import (
	"context"

	"housecall/internal/postgres"
)

// named is a user's name, and what they are found by.
type named struct {
	ID     int64
	Name   string
	folded string
}

// lockUnfolded returns users whose name is not folded as it is now, and locks them; it passes over locked ones.
func lockUnfolded(ctx context.Context, tx *postgres.Tx, limit int) ([]named, error) {
	return postgres.Rows[named](ctx, tx, "names to fold", `
		select id, name from users where folded_from is distinct from name
		order by id limit $1 for no key update skip locked`, limit)
}

func saveFolded(ctx context.Context, tx *postgres.Tx, some []named) error {
	var ids []int64
	var names, folded []string
	for _, n := range some {
		ids, names, folded = append(ids, n.ID), append(names, n.Name), append(folded, n.folded)
	}
	_, err := postgres.Exec(ctx, tx, "fold names", `
		update users u set folded = f.folded, folded_from = f.name
		from unnest($1::bigint[], $2::text[], $3::text[]) f(id, name, folded)
		where u.id = f.id and u.name = f.name`, ids, names, folded)
	return err
}
