package account

import (
	"context"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/postgres"
)

// The clients of the two older APIs sign in once and keep one token, since they cannot refresh. It is bound to a
// session like any other, and ends with it.

// LoginOlder is Login for a client of an older API, with the same logins, throttles and refusals. The token counts on
// that API only, for LegacyTTL, and shows its clients what they look for in it (see shownIn).
func (s *Service) LoginOlder(
	ctx context.Context, login, password string, client httpd.Client, api auth.Audience,
) (token string, u User, err error) {
	c, err := s.prove(ctx, login, password, client)
	if err != nil {
		return "", User{}, err
	}
	var made opened
	err = s.pool.InTx(ctx, func(tx *postgres.Tx) (err error) {
		c, made, err = s.begin(ctx, tx, c, client, s.options.LegacyTTL)
		return err
	})
	if err != nil {
		return "", User{}, err
	}
	token, _, err = s.tokens.IssueOlder(actorOf(c.User, made.ID), api, s.options.LegacyTTL, shownIn(api, c.User))
	return token, c.User, err
}

// AuthenticateOlder returns the user of a token of an older API, if its session still counts. Name, role and whether
// the password must be changed come from the database, not from the token. errs.ErrUnauthenticated for any other
// token, including a native one.
func (s *Service) AuthenticateOlder(ctx context.Context, token string, api auth.Audience) (auth.Actor, error) {
	claims, err := s.tokens.VerifyOlder(token, api)
	if err != nil {
		return auth.Actor{}, errs.ErrUnauthenticated
	}
	return s.present(ctx, claims)
}

// shownIn returns the claims that clients of an older API read from its tokens.
func shownIn(api auth.Audience, u User) map[string]any {
	switch api {
	case auth.AudiencePMS:
		return map[string]any{"userId": u.ID, "role": RoleNumber(u.Role), "name": u.Name}
	case auth.AudienceHMS:
		return map[string]any{"userId": u.PublicID, "role": RoleWord(u.Role)}
	default:
		return nil
	}
}

// roleNumbers are the roles as the Patient Management System numbers them.
var roleNumbers = map[auth.Role]int{auth.Admin: 1, auth.Doctor: 2, auth.Patient: 3}

// RoleNumber is a role as the Patient Management System writes it: 1 admin, 2 doctor, 3 user.
func RoleNumber(r auth.Role) int { return roleNumbers[r] }

// RoleOfNumber reads what RoleNumber writes; ok is false for any other number.
func RoleOfNumber(n int) (r auth.Role, ok bool) {
	for role, number := range roleNumbers {
		if number == n {
			return role, true
		}
	}
	return "", false
}

// RoleWord is a role as the Health Management System writes it: PATIENT, DOCTOR and Admin.
func RoleWord(r auth.Role) string {
	if r == auth.Admin {
		return "Admin"
	}
	return string(r)
}
