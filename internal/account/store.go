package account

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
	"housecall/internal/text"
)

// Constraints that code switches on.
const constraintEmail = "users_email_key"

const userColumns = `u.id, u.public_id, u.email, u.email_verified_at is not null as email_verified,
	coalesce(u.pending_email, '') as pending_email, u.name, u.role, u.must_change_password,
	u.password_hash is null as invited,
	u.disabled_at, u.created_at, u.version`

// credentials is a user with the hash of their password, "" if they have none.
type credentials struct {
	User
	PasswordHash string
}

// one reads the single row that a query finds; errs.Missing(what) if there is none.
func one[T any](ctx context.Context, db postgres.DB, what, sql string, args ...any) (T, error) {
	var zero T
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return zero, fmt.Errorf("read %s: %w", what, postgres.Classify(err))
	}
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[T])
	if errors.Is(err, pgx.ErrNoRows) {
		return zero, errs.Missing(what)
	}
	if err != nil {
		return zero, fmt.Errorf("read %s: %w", what, postgres.Classify(err))
	}
	return v, nil
}

// insertUser stores a new user under u.PublicID; hash "" means an invited one. ErrEmailTaken if the address is in use;
// fresh is false, and nothing is stored, if the public id is in use.
func insertUser(ctx context.Context, tx *postgres.Tx, u User, hash string) (_ User, fresh bool, err error) {
	rows, err := tx.Query(ctx, `
		insert into users as u (public_id, email, name, role, password_hash, must_change_password, email_verified_at,
			folded, folded_from)
		values ($1, $2, $3, $4, nullif($5, ''), $6, case when $7 then now() end, $8, $3)
		on conflict (public_id) do nothing
		returning `+userColumns,
		u.PublicID, u.Email, u.Name, u.Role, hash, u.MustChangePassword, u.EmailVerified, text.Fold(u.Name))
	if err == nil {
		u, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[User])
	}
	switch {
	case err == nil:
		return u, true, nil
	case errors.Is(err, pgx.ErrNoRows):
		return User{}, false, nil
	case postgres.Constraint(err) == constraintEmail:
		return User{}, false, ErrEmailTaken
	default:
		return User{}, false, fmt.Errorf("insert user: %w", postgres.Classify(err))
	}
}

func userByID(ctx context.Context, db postgres.DB, id int64) (User, error) {
	return one[User](ctx, db, "user", `select `+userColumns+` from users u where u.id = $1`, id)
}

func userByPublicID(ctx context.Context, db postgres.DB, publicID string) (User, error) {
	return one[User](ctx, db, "user", `select `+userColumns+` from users u where u.public_id = $1`, publicID)
}

func userByEmail(ctx context.Context, db postgres.DB, email string) (User, error) {
	return one[User](ctx, db, "user", `select `+userColumns+` from users u where u.email = $1`, email)
}

func usersByIDs(ctx context.Context, db postgres.DB, ids []int64) ([]User, error) {
	return postgres.Rows[User](ctx, db, "users", `select `+userColumns+` from users u where u.id = any($1)`, ids)
}

// lockUser reads a user and keeps others from changing them until the transaction ends.
func lockUser(ctx context.Context, tx *postgres.Tx, publicID string) (User, error) {
	return one[User](ctx, tx, "user", `select `+userColumns+` from users u where u.public_id = $1 for no key update`,
		publicID)
}

// lockAdmins returns the ids of all who can act as administrators, and locks them until the transaction ends. Taking
// the role from one of them requires these locks, so the set cannot become empty unnoticed.
func lockAdmins(ctx context.Context, tx *postgres.Tx) ([]int64, error) {
	return postgres.Column[int64](ctx, tx, "administrators", `
		select id from users
		where role = 'ADMIN' and disabled_at is null and password_hash is not null
		order by id for no key update`)
}

// credentialsByLogin finds the user of a login (in lower case): an email address or a public id.
func credentialsByLogin(ctx context.Context, db postgres.DB, login string) (credentials, error) {
	return one[credentials](ctx, db, "user", `
		select `+userColumns+`, coalesce(u.password_hash, '') as password_hash
		from users u where u.email = $1 or u.public_id = $2`, login, strings.ToUpper(login))
}

// lockCredentials reads a user for a change that depends on their password. With share, nobody else can change them
// until the transaction ends; without it, nobody can even open a session for them.
func lockCredentials(ctx context.Context, tx *postgres.Tx, id int64, share bool) (credentials, error) {
	lock := ` for no key update`
	if share {
		lock = ` for share`
	}
	return one[credentials](ctx, tx, "user", `
		select `+userColumns+`, coalesce(u.password_hash, '') as password_hash
		from users u where u.id = $1`+lock, id)
}

func credentialsByID(ctx context.Context, db postgres.DB, id int64) (credentials, error) {
	return one[credentials](ctx, db, "user", `
		select `+userColumns+`, coalesce(u.password_hash, '') as password_hash from users u where u.id = $1`, id)
}

func updateName(ctx context.Context, tx *postgres.Tx, id int64, name string) (User, error) {
	return one[User](ctx, tx, "user", `
		update users u set name = $2, folded = $3, folded_from = $2, version = version + 1, updated_at = now()
		where u.id = $1
		returning `+userColumns, id, name, text.Fold(name))
}

// updatePassword stores a password. Whoever knew the old one, or can read old mail, loses all hold on the account: an
// unverified change of the address is dropped, and so are links that reset the password.
func updatePassword(ctx context.Context, tx *postgres.Tx, id int64, hash string) (User, error) {
	if _, err := postgres.Exec(ctx, tx, "withdraw resets", `
		delete from mail_tokens where user_id = $1 and purpose = 'reset' and used_at is null`, id); err != nil {
		return User{}, err
	}
	return one[User](ctx, tx, "user", `
		update users u set password_hash = $2, must_change_password = false, pending_email = null,
			version = version + 1, updated_at = now()
		where u.id = $1
		returning `+userColumns, id, hash)
}

func updateRole(ctx context.Context, tx *postgres.Tx, id int64, role auth.Role) (User, error) {
	return one[User](ctx, tx, "user", `
		update users u set role = $2, version = version + 1, updated_at = now() where u.id = $1
		returning `+userColumns, id, role)
}

func updateDisabled(ctx context.Context, tx *postgres.Tx, id int64, at *time.Time) (User, error) {
	return one[User](ctx, tx, "user", `
		update users u set disabled_at = $2, version = version + 1, updated_at = now() where u.id = $1
		returning `+userColumns, id, at)
}

// listUsers returns users with an id below before (0: any), newest first; one more than limit if there are more. It
// finds names as they are folded where that is up to date (see CatchUp), and as they are written elsewhere. Nobody's
// name folds to nothing, which is what a query without letters and digits looks for.
func listUsers(ctx context.Context, db postgres.DB, f Filter, before int64, limit int) ([]User, error) {
	return postgres.Rows[User](ctx, db, "users", selectUsers, f.arguments(before, limit)...)
}

const selectUsers = `
	select ` + userColumns + ` from users u
	where ($1 = '' or u.role = $1)
	  and ($2::boolean is null or (u.disabled_at is not null) = $2)
	  and ($3 = '' or u.email ilike $3 or u.public_id ilike $3
	       or u.folded like $6 and u.folded_from = u.name
	       or u.name ilike $3 and u.folded_from is distinct from u.name)
	  and ($4::bigint = 0 or u.id < $4)
	order by u.id desc limit $5`

func (f Filter) arguments(before int64, limit int) []any {
	return []any{f.Role, f.Disabled, likePattern(f.Query), before, limit + 1, likePattern(text.Fold(f.Query))}
}

type roleCount struct {
	Role  auth.Role
	Users int
}

func countByRole(ctx context.Context, db postgres.DB) ([]roleCount, error) {
	return postgres.Rows[roleCount](ctx, db, "users",
		`select role, count(*)::int as users from users where disabled_at is null group by role`)
}

// likePattern matches s anywhere, with % and _ taken literally; "" for "".
func likePattern(s string) string {
	if s = strings.TrimSpace(s); s == "" {
		return ""
	}
	return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(s) + "%"
}

func insertInvitation(ctx context.Context, tx *postgres.Tx, hash []byte, userID int64, expires time.Time) error {
	if _, err := postgres.Exec(ctx, tx, "withdraw invitations",
		`delete from invitations where user_id = $1 and used_at is null`, userID); err != nil {
		return err
	}
	_, err := postgres.Exec(ctx, tx, "insert invitation",
		`insert into invitations (hash, user_id, expires_at) values ($1, $2, $3)`, hash, userID, expires)
	return err
}

const openInvitation = `i.hash = $1 and i.used_at is null and i.expires_at > now()
	and i.user_id = u.id and u.disabled_at is null and u.password_hash is null`

// invitedUser returns the user of an invitation that can still be accepted.
func invitedUser(ctx context.Context, db postgres.DB, hash []byte) (User, error) {
	return one[User](ctx, db, "invitation", `select `+userColumns+` from invitations i, users u where `+openInvitation,
		hash)
}

// useInvitation accepts it; if several try at once, one of them gets the user.
func useInvitation(ctx context.Context, tx *postgres.Tx, hash []byte) (User, error) {
	return one[User](ctx, tx, "invitation", `
		with used as (
			update invitations i set used_at = now() from users u where `+openInvitation+` returning i.user_id)
		select `+userColumns+` from users u join used on used.user_id = u.id`, hash)
}
