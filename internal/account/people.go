package account

import (
	"context"

	"housecall/internal/auth"
)

// ByIDs returns accounts by id in one statement, disabled ones included; an id without an account is left out. It
// checks no rights: show an email address only to those who may see it.
func (s *Service) ByIDs(ctx context.Context, ids ...int64) (map[int64]User, error) {
	out := make(map[int64]User, len(ids))
	if len(ids) == 0 {
		return out, nil
	}
	found, err := usersByIDs(ctx, s.pool, ids)
	if err != nil {
		return nil, err
	}
	for _, u := range found {
		out[u.ID] = u
	}
	return out, nil
}

// CountByRole returns how many users of each role are not disabled.
func (s *Service) CountByRole(ctx context.Context) (map[auth.Role]int, error) {
	counted, err := countByRole(ctx, s.pool)
	if err != nil {
		return nil, err
	}
	out := make(map[auth.Role]int, len(counted))
	for _, c := range counted {
		out[c.Role] = c.Users
	}
	return out, nil
}
