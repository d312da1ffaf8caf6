package patient

import (
	"context"

	"housecall/internal/postgres"
)

// unread is the phone number of an entry, and what it is read as.
type unread struct {
	UserID int64
	Phone  string
	e164   string
}

// lockUnread returns entries whose phone number is not read as it is now, and locks them; it passes over locked ones.
func lockUnread(ctx context.Context, tx *postgres.Tx, limit int) ([]unread, error) {
	return postgres.Rows[unread](ctx, tx, "phone numbers to read", `
		select user_id, phone from patients where phone_from <> phone
		order by user_id limit $1 for no key update skip locked`, limit)
}

// saveRead writes what numbers were read as. The version stays: nobody has changed the entry.
func saveRead(ctx context.Context, tx *postgres.Tx, some []unread) error {
	var ids []int64
	var phones, e164 []string
	for _, u := range some {
		ids, phones, e164 = append(ids, u.UserID), append(phones, u.Phone), append(e164, u.e164)
	}
	_, err := postgres.Exec(ctx, tx, "read phone numbers", `
		update patients p set phone_e164 = r.e164, phone_from = r.phone
		from unnest($1::bigint[], $2::text[], $3::text[]) r(id, phone, e164)
		where p.user_id = r.id and p.phone = r.phone`, ids, phones, e164)
	return err
}
