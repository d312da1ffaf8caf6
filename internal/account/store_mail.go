package account

import (
	"context"
	"time"

	"housecall/internal/postgres"
)

// purpose is what a token in an email is for.
type purpose string

// The purposes, as stored.
const (
	purposeVerify purpose = "verify" // it proves that its owner receives mail at an address
	purposeReset  purpose = "reset"  // it lets its owner choose a new password
)

// mailToken is what is stored of a token: a hash, never the token itself.
type mailToken struct {
	Hash    []byte
	User    int64
	Purpose purpose
	Address string
	Session int64 // the one that asked for it; 0 if nobody was signed in
	Expires time.Time
}

// insertMailToken stores a token; an earlier one of the user for the same purpose no longer counts. The caller must
// hold the user's lock, or two tokens could remain.
func insertMailToken(ctx context.Context, tx *postgres.Tx, t mailToken) error {
	_, err := postgres.Exec(ctx, tx, "withdraw mail tokens",
		`delete from mail_tokens where user_id = $1 and purpose = $2 and used_at is null`, t.User, t.Purpose)
	if err != nil {
		return err
	}
	_, err = postgres.Exec(ctx, tx, "insert mail token", `
		insert into mail_tokens (hash, user_id, purpose, address, session_id, expires_at)
		values ($1, $2, $3, $4, nullif($5::bigint, 0), $6)`, t.Hash, t.User, t.Purpose, t.Address, t.Session, t.Expires)
	return err
}

// openMailToken selects a token that still counts. It no longer does once its address is neither the user's current
// nor their requested one.
const openMailToken = `t.hash = $1 and t.purpose = $2 and t.used_at is null and t.expires_at > now()
	and t.user_id = u.id and u.disabled_at is null
	and (t.address = u.email and (t.purpose <> 'reset' or u.password_hash is not null)
		or t.address = u.pending_email and t.purpose = 'verify')`

// mailTokenOwner returns the owner of a token; missing if it does not count.
func mailTokenOwner(ctx context.Context, db postgres.DB, hash []byte, p purpose) (User, error) {
	return one[User](ctx, db, "mail token", `select `+userColumns+` from mail_tokens t, users u where `+openMailToken,
		hash, p)
}

// lockMailTokenOwner also keeps others from changing the owner. useMailToken then shows whether the token still
// counts.
func lockMailTokenOwner(ctx context.Context, tx *postgres.Tx, hash []byte, p purpose) (User, error) {
	return one[User](ctx, tx, "mail token",
		`select `+userColumns+` from mail_tokens t, users u where `+openMailToken+` for no key update of u`, hash, p)
}

// sessionBehind returns the session that asked to verify an address, 0 if that is no longer known.
func sessionBehind(ctx context.Context, tx *postgres.Tx, userID int64, address string) (int64, error) {
	found, err := postgres.Column[int64](ctx, tx, "mail token", `
		select session_id from mail_tokens
		where user_id = $1 and purpose = 'verify' and address = $2 and used_at is null and session_id is not null
		order by session_id limit 1`, userID, address)
	if err != nil || len(found) == 0 {
		return 0, err
	}
	return found[0], nil
}

// proof is what a token has proved.
type proof struct {
	Address string
	Session int64
}

// useMailToken uses it up after lockMailTokenOwner; if several try at once, one succeeds.
func useMailToken(ctx context.Context, tx *postgres.Tx, hash []byte, p purpose) (proof, error) {
	return one[proof](ctx, tx, "mail token", `
		update mail_tokens t set used_at = now() from users u where `+openMailToken+`
		returning t.address, coalesce(t.session_id, 0) as session`, hash, p)
}

// markVerified notes that the user's address is verified; the first time counts.
func markVerified(ctx context.Context, tx *postgres.Tx, id int64) (User, error) {
	return one[User](ctx, tx, "user", `
		update users u set email_verified_at = coalesce(email_verified_at, now()), version = version + 1, updated_at = now()
		where u.id = $1
		returning `+userColumns, id)
}

// updatePendingEmail stores the address that a user wants; "" for none.
func updatePendingEmail(ctx context.Context, tx *postgres.Tx, id int64, address string) (User, error) {
	return one[User](ctx, tx, "user", `
		update users u set pending_email = nullif($2, ''), version = version + 1, updated_at = now()
		where u.id = $1
		returning `+userColumns, id, address)
}

// updateEmail replaces a user's address by the verified new one; ErrEmailTaken if somebody else has it.
func updateEmail(ctx context.Context, tx *postgres.Tx, id int64, address string) (User, error) {
	u, err := one[User](ctx, tx, "user", `
		update users u set email = $2, email_verified_at = now(), pending_email = null,
			version = version + 1, updated_at = now()
		where u.id = $1
		returning `+userColumns, id, address)
	if postgres.Constraint(err) == constraintEmail {
		return User{}, ErrEmailTaken
	}
	return u, err
}

// emailInUse reports whether somebody has an address.
func emailInUse(ctx context.Context, db postgres.DB, address string) (bool, error) {
	n, err := postgres.Exec(ctx, db, "look for an address", `select 1 from users where email = $1`, address)
	return n > 0, err
}
