package account

import (
	"context"
	"time"

	"housecall/internal/auth"
	"housecall/internal/postgres"
)

// opened identifies a session by both of its keys.
type opened struct {
	ID       int64
	PublicID string
}

// newSession is a session to be stored.
type newSession struct {
	User            int64
	Device, Address string
	Expires         time.Time
}

func insertSession(ctx context.Context, tx *postgres.Tx, n newSession) (opened, error) {
	return one[opened](ctx, tx, "session", `
		insert into sessions (user_id, user_agent, address, expires_at) values ($1, $2, $3, $4)
		returning id, public_id::text as public_id`, n.User, n.Device, n.Address, n.Expires)
}

func insertRefreshToken(ctx context.Context, tx *postgres.Tx, hash []byte, session int64) error {
	_, err := postgres.Exec(ctx, tx, "insert refresh token",
		`insert into refresh_tokens (hash, session_id) values ($1, $2)`, hash, session)
	return err
}

// presence is the user of a session that still counts.
type presence struct {
	UserID             int64
	PublicID           string
	Name               string
	Role               auth.Role
	MustChangePassword bool
	Idle               bool // last_used_at is more than a minute old
}

// sessionPresence reads it by two primary keys. A session that has ended or expired, or whose user is disabled, is
// missing.
func sessionPresence(ctx context.Context, db postgres.DB, session int64) (presence, error) {
	return one[presence](ctx, db, "session", `
		select u.id as user_id, u.public_id, u.name, u.role, u.must_change_password,
		       s.last_used_at < now() - interval '1 minute' as idle
		from sessions s join users u on u.id = s.user_id
		where s.id = $1 and s.ended_at is null and s.expires_at > now() and u.disabled_at is null`, session)
}

func touchSession(ctx context.Context, db postgres.DB, session int64) error {
	_, err := postgres.Exec(ctx, db, "note the use of a session", `
		update sessions set last_used_at = now()
		where id = $1 and last_used_at < now() - interval '1 minute'`, session)
	return err
}

// family is the session that a refresh token belongs to, with its user.
type family struct {
	Session       int64
	SessionPublic string
	User          int64
}

// lockFamily locks the session of a refresh token, so that only one refresh of it runs at a time. A session that has
// ended or expired, or whose user is disabled, is missing.
func lockFamily(ctx context.Context, tx *postgres.Tx, hash []byte) (family, error) {
	return one[family](ctx, tx, "session", `
		select s.id as session, s.public_id::text as session_public, s.user_id as "user"
		from sessions s join users u on u.id = s.user_id
		where s.id = (select session_id from refresh_tokens where hash = $1)
		  and s.ended_at is null and s.expires_at > now() and u.disabled_at is null
		for no key update of s`, hash)
}

type refreshToken struct {
	UsedAt *time.Time
}

// refreshTokenOf reads the token after lockFamily, in a separate statement: the one that waited for the lock would
// still see the token as it was before.
func refreshTokenOf(ctx context.Context, tx *postgres.Tx, hash []byte) (refreshToken, error) {
	return one[refreshToken](ctx, tx, "refresh token", `select used_at from refresh_tokens where hash = $1`, hash)
}

func refreshTokenExists(ctx context.Context, tx *postgres.Tx, hash []byte, session int64) (exists bool, err error) {
	n, err := postgres.Exec(ctx, tx, "find refresh token",
		`select 1 from refresh_tokens where hash = $1 and session_id = $2`, hash, session)
	return n == 1, err
}

// rotation is a session whose refresh token was used. Used and Successor are fingerprints.
type rotation struct {
	Session         int64
	Used, Successor []byte
	Expires         time.Time // of the session
}

// rotateRefreshToken marks a token as used, stores its successor and extends the session.
func rotateRefreshToken(ctx context.Context, tx *postgres.Tx, r rotation) error {
	_, err := postgres.Exec(ctx, tx, "use refresh token",
		`update refresh_tokens set used_at = now() where hash = $1`, r.Used)
	if err != nil {
		return err
	}
	if err := insertRefreshToken(ctx, tx, r.Successor, r.Session); err != nil {
		return err
	}
	_, err = postgres.Exec(ctx, tx, "extend session",
		`update sessions set last_used_at = now(), expires_at = $2 where id = $1`, r.Session, r.Expires)
	return err
}

// endSession ends one session of a user; missing if it is not theirs or has ended.
func endSession(
	ctx context.Context, tx *postgres.Tx, userID int64, publicID string, reason EndReason,
) (opened, error) {
	return one[opened](ctx, tx, "session", `
		update sessions set ended_at = now(), end_reason = $3
		where public_id::text = $2 and user_id = $1 and ended_at is null and expires_at > now()
		returning id, public_id::text as public_id`, userID, publicID, reason)
}

// endSessionByID ends one session; missing where it has ended.
func endSessionByID(ctx context.Context, tx *postgres.Tx, id int64, reason EndReason) (opened, error) {
	return one[opened](ctx, tx, "session", `
		update sessions set ended_at = now(), end_reason = $2 where id = $1 and ended_at is null
		returning id, public_id::text as public_id`, id, reason)
}

// endSessionsOf ends all sessions of a user but one (0: all) and returns their ids. It always locks them in the same
// order.
func endSessionsOf(ctx context.Context, tx *postgres.Tx, userID, except int64, reason EndReason) ([]int64, error) {
	return postgres.Column[int64](ctx, tx, "sessions", `
		with live as (
			select id from sessions where user_id = $1 and id <> $2 and ended_at is null order by id for no key update)
		update sessions s set ended_at = now(), end_reason = $3 from live where s.id = live.id
		returning s.id`, userID, except, reason)
}

type storedSession struct {
	ID         int64
	PublicID   string
	Device     string
	Address    string
	CreatedAt  time.Time
	LastUsedAt time.Time
}

// listSessions returns sessions with an id below before (0: any), newest first; one more than limit if there are more.
func listSessions(ctx context.Context, db postgres.DB, userID, before int64, limit int) ([]storedSession, error) {
	return postgres.Rows[storedSession](ctx, db, "sessions", `
		select id, public_id::text as public_id, user_agent as device, address, created_at, last_used_at
		from sessions
		where user_id = $1 and ended_at is null and expires_at > now() and ($2::bigint = 0 or id < $2)
		order by id desc limit $3`, userID, before, limit+1)
}

// signedInFrom reports whether a user has signed in from an address, as far back as sessions are kept; false for
// nobody, whose id is 0.
func signedInFrom(ctx context.Context, db postgres.DB, userID int64, address string) (bool, error) {
	n, err := postgres.Exec(ctx, db, "look for earlier sign-ins",
		`select 1 from sessions where user_id = $1 and address = $2 limit 1`, userID, address)
	return n == 1, err
}

type endings struct {
	AsOf  time.Time
	Ended []int64
}

func sessionsEndedSince(
	ctx context.Context, db postgres.DB, since *time.Time, overlap time.Duration,
) (endings, error) {
	return one[endings](ctx, db, "ended sessions", `
		select now() as as_of, array(
			select id from sessions where ended_at > coalesce($1, now()) - $2::interval) as ended`, since, overlap)
}

// purges each delete at most $2 rows that nothing can refer to any more. Rows that another instance is deleting, or a
// user is changing, are left to the next run.
var purges = []string{
	`delete from refresh_tokens where hash in (
		select hash from refresh_tokens where used_at < now() - $1::interval
		limit $2 for update skip locked)`,
	`delete from sessions where id in (
		select id from sessions where least(ended_at, expires_at) < now() - $1::interval
		limit $2 for update skip locked)`,
	`delete from invitations where hash in (
		select hash from invitations where least(used_at, expires_at) < now() - $1::interval
		limit $2 for update skip locked)`,
	`delete from mail_tokens where hash in (
		select hash from mail_tokens where least(used_at, expires_at) < now() - $1::interval
		limit $2 for update skip locked)`,
}

// purge runs each of them once; full means that there may be more.
func purge(ctx context.Context, db postgres.DB, keep time.Duration, batch int) (deleted int64, full bool, err error) {
	for _, sql := range purges {
		n, err := postgres.Exec(ctx, db, "purge", sql, keep, batch)
		if err != nil {
			return deleted, false, err
		}
		deleted += n
		full = full || n == int64(batch)
	}
	return deleted, full, nil
}
