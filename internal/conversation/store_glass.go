package conversation

import (
	"context"
	"time"

	"github.com/google/uuid"

	"housecall/internal/errs"
	"housecall/internal/postgres"
)

// accessOf returns the access that observers have at a time; the longest if they have several. It also reads package
// account's tables, because access ends with the sign-in session in which it was requested and with the role.
func accessOf(ctx context.Context, db postgres.DB, who []Observer, now time.Time) (map[Observer]access, error) {
	ids, admins := make([]int64, len(who)), make([]int64, len(who))
	for i, w := range who {
		ids[i], admins[i] = w.Conversation, w.Admin
	}
	type row struct {
		Conversation, Admin int64
		Glass               uuid.UUID
		Until               time.Time
	}
	found, err := postgres.Rows[row](ctx, db, "break-glass access", `
select distinct on (g.room_id, g.admin_id) g.room_id as conversation, g.admin_id as admin, g.public_id as glass,
    g.expires_at as until
from unnest($1::bigint[], $2::bigint[]) as w(conversation, admin)
join break_glass g on g.room_id = w.conversation and g.admin_id = w.admin and g.expires_at > $3 and g.ended_at is null
join sessions s on s.id = g.session_id and s.user_id = g.admin_id and s.ended_at is null
join users u on u.id = g.admin_id and u.role = 'ADMIN' and u.disabled_at is null
order by g.room_id, g.admin_id, g.expires_at desc`, ids, admins, now)
	if err != nil {
		return nil, err
	}
	out := make(map[Observer]access, len(found))
	for _, r := range found {
		out[Observer{r.Conversation, r.Admin}] = access{r.Glass, r.Until}
	}
	return out, nil
}

func insertGlass(ctx context.Context, tx *postgres.Tx, g Glass, session int64) (uuid.UUID, error) {
	ids, err := postgres.Column[uuid.UUID](ctx, tx, "break-glass", `
insert into break_glass (room_id, admin_id, session_id, reason, created_at, expires_at)
values ($1, $2, $3, $4, $5, $6) returning public_id`,
		g.conversation, g.admin, session, g.Reason, g.CreatedAt, g.ExpiresAt)
	if err != nil {
		return uuid.Nil, err
	}
	return ids[0], nil
}

const selectGlass = `
select g.id, g.public_id, g.room_id as conversation, g.admin_id, a.patient_id, a.public_id as appointment,
    u.public_id as admin, u.name as admin_name, g.reason, g.created_at, g.expires_at,
    least(g.ended_at, s.ended_at) as ended_at, s.id is null as orphaned
from break_glass g
join appointments a on a.id = g.room_id
join users u on u.id = g.admin_id
left join sessions s on s.id = g.session_id `

// glassRow is one row of selectGlass.
type glassRow struct {
	ID           int64
	PublicID     uuid.UUID
	Conversation int64
	AdminID      int64
	PatientID    int64
	Appointment  string
	Admin        string
	AdminName    string
	Reason       string
	CreatedAt    time.Time
	ExpiresAt    time.Time
	EndedAt      *time.Time
	Orphaned     bool
}

func selectGlasses(ctx context.Context, db postgres.DB, where string, args ...any) ([]Glass, error) {
	rows, err := postgres.Rows[glassRow](ctx, db, "break-glass", selectGlass+where, args...)
	if err != nil {
		return nil, err
	}
	out := make([]Glass, len(rows))
	for i, r := range rows {
		out[i] = Glass{
			ID: r.PublicID, Appointment: r.Appointment, Admin: r.Admin, AdminName: r.AdminName, Reason: r.Reason,
			CreatedAt: r.CreatedAt, ExpiresAt: r.ExpiresAt, EndedAt: r.EndedAt,
			key: r.ID, conversation: r.Conversation, admin: r.AdminID, patient: r.PatientID, orphaned: r.Orphaned,
		}
	}
	return out, nil
}

// listGlasses returns up to limit entries whose key is below before (0: from the newest), newest first.
func listGlasses(ctx context.Context, db postgres.DB, before int64, limit int) ([]Glass, error) {
	return selectGlasses(ctx, db, `where $1::bigint = 0 or g.id < $1 order by g.id desc limit $2`, before, limit)
}

// lockGlass reads and locks a Glass.
func lockGlass(ctx context.Context, tx *postgres.Tx, id uuid.UUID) (Glass, error) {
	found, err := selectGlasses(ctx, tx, `where g.public_id = $1 for update of g`, id)
	if err != nil {
		return Glass{}, err
	}
	if len(found) == 0 {
		return Glass{}, errs.Missing("break-glass")
	}
	return found[0], nil
}

func endGlass(ctx context.Context, tx *postgres.Tx, g Glass, by int64) error {
	_, err := postgres.Exec(ctx, tx, "end break-glass",
		`update break_glass set ended_at = $2, ended_by = $3 where id = $1`, g.key, g.EndedAt, by)
	return err
}

// messageVersions returns a message and its edits as they were written, in order.
func messageVersions(ctx context.Context, db postgres.DB, id, seq int64) ([]Event, error) {
	return queryEvents(ctx, db, `
select m.room_id, m.seq, m.kind, m.client_id, coalesce(u.public_id, ''), coalesce(m.body, ''), m.at, false,
    coalesce(m.target, 0), false, 0::bigint,
    f.id, f.name, f.media_type, f.size_bytes, encode(f.sha256, 'hex'), f.width, f.height, f.thumbnail
from messages m
left join users u on u.id = m.sender_id
left join attachments f on m.kind = 'attachment' and f.room_id = m.room_id and f.seq = m.seq
where m.room_id = $1
  and (m.seq = $2 and m.kind in ('text', 'attachment') or m.target = $2 and m.kind in ('retraction', 'correction'))
order by m.seq`, id, seq)
}
