package appointment

import (
	"context"
	"time"

	"housecall/internal/postgres"
)

// openWaiting is the constraint that a patient is on a doctor's waiting list only once.
const openWaiting = "waitlist_open_key"

// waitingRow is one row of waitlist with its patient, whose name comes from users (see list), and the open offer.
type waitingRow struct {
	ID             int64
	PublicID       string
	DoctorID       int64
	PatientID      int64
	PatientRef     string
	PatientName    string
	FromDate       time.Time
	ToDate         time.Time
	CreatedAt      time.Time
	HoldID         *string // null, like those below, if no offer is open
	OfferStartsAt  *time.Time
	OfferEndsAt    *time.Time
	OfferExpiresAt *time.Time
}

const waiting = `select w.id, w.public_id::text as public_id, w.doctor_id, w.patient_id, u.public_id as patient_ref,
	u.name as patient_name, w.from_date, w.to_date, w.created_at,
	c.hold_id::text as hold_id, lower(c.visible) as offer_starts_at, upper(c.visible) as offer_ends_at,
	c.expires_at as offer_expires_at
	from waitlist w join users u on u.id = w.patient_id
	left join slot_claims c on c.waitlist_id = w.id and c.expires_at > $1
	where w.ended_at is null and `

// insertWaiting adds an entry with DoctorID, PatientID, FromDate and ToDate. Its error carries openWaiting if the
// patient is already on the list.
func insertWaiting(ctx context.Context, tx *postgres.Tx, w waitingRow) (int64, error) {
	made, err := postgres.Column[int64](ctx, tx, "waitlist", `
		insert into waitlist (doctor_id, patient_id, from_date, to_date, created_at)
		values ($1, $2, $3, $4, $5) returning id`,
		w.DoctorID, w.PatientID, w.FromDate, w.ToDate, tx.Now())
	if err != nil {
		return 0, err
	}
	return made[0], nil
}

// countWaiting returns how many waiting lists a patient is on.
func countWaiting(ctx context.Context, tx *postgres.Tx, patientID int64) (int, error) {
	found, err := postgres.Column[int64](ctx, tx, "waitlist",
		`select count(*) from waitlist where patient_id = $1 and ended_at is null`, patientID)
	if err != nil {
		return 0, err
	}
	return int(found[0]), nil
}

func waitingByID(ctx context.Context, db postgres.DB, id int64, now time.Time) ([]waitingRow, error) {
	return postgres.Rows[waitingRow](ctx, db, "waitlist", waiting+`w.id = $2`, now, id)
}

// entries selects the entries of a doctor's waiting list, or only one patient's (0: everyone's).
type entries struct{ doctorID, patientID int64 }

// queueQuery asks for a page of the open entries, after the id of one.
type queueQuery struct {
	entries
	after int64
	limit int
}

// queue lists the entries in order, with their open offers.
func queue(ctx context.Context, db postgres.DB, q queueQuery, now time.Time) ([]waitingRow, error) {
	return postgres.Rows[waitingRow](ctx, db, "waitlist",
		waiting+`w.doctor_id = $2 and ($3::bigint = 0 or w.patient_id = $3) and w.id > $4 order by w.id limit $5`,
		now, q.doctorID, q.patientID, q.after, q.limit)
}

// endWaiting ends the entry with a public id because the patient leaves the list, if it is open and among the given
// entries, and returns its id.
func endWaiting(ctx context.Context, tx *postgres.Tx, e entries, publicID string) ([]int64, error) {
	return postgres.Column[int64](ctx, tx, "waitlist", `
		update waitlist set ended_at = $4, end_reason = 'left'
		where doctor_id = $1 and public_id::text = $2 and ($3::bigint = 0 or patient_id = $3) and ended_at is null
		returning id`,
		e.doctorID, publicID, e.patientID, tx.Now())
}

// endWaitingByID ends an entry; it does nothing if the entry has ended.
func endWaitingByID(ctx context.Context, tx *postgres.Tx, id int64, reason string) error {
	_, err := postgres.Exec(ctx, tx, "end waiting",
		`update waitlist set ended_at = $2, end_reason = $3 where id = $1 and ended_at is null`, id, tx.Now(), reason)
	return err
}

// endWaitingBefore ends up to limit entries whose last day is before a date.
func endWaitingBefore(ctx context.Context, tx *postgres.Tx, date time.Time, limit int) (int64, error) {
	return postgres.Exec(ctx, tx, "end waiting", `update waitlist set ended_at = $2, end_reason = 'over'
		where id in (
			select id from waitlist where ended_at is null and to_date < $1 order by id limit $3 for update skip locked)`,
		date, tx.Now(), limit)
}

// endWaitingFor ends all entries on a doctor's waiting list.
func endWaitingFor(ctx context.Context, tx *postgres.Tx, doctorID int64) error {
	_, err := postgres.Exec(ctx, tx, "end waiting",
		`update waitlist set ended_at = $2, end_reason = 'over' where doctor_id = $1 and ended_at is null`, doctorID,
		tx.Now())
	return err
}

// nextWaiting returns the next entry whose patient could take a time, if there is one: they wait for that date, can
// sign in, have no other open offer, and are free at that time. It locks the entry, and skips those that another
// transaction has locked to offer them something else.
func nextWaiting(ctx context.Context, tx *postgres.Tx, v vacancy, now time.Time) ([]waitingEntry, error) {
	return postgres.Rows[waitingEntry](ctx, tx, "waitlist", `
		select w.id, w.patient_id from waitlist w
		where w.ended_at is null and w.doctor_id = $1 and w.id > $2 and $3 between w.from_date and w.to_date
		  and w.patient_id <> $4
		  and exists (select from users u where u.id = w.patient_id and u.disabled_at is null)
		  and not exists (select from slot_claims c where c.waitlist_id = w.id and c.expires_at > $5)
		  and not exists (select from slot_claims c where c.patient_id = w.patient_id and c.visible && tstzrange($6, $7)
		      and (c.expires_at is null or c.expires_at > $5))
		order by w.id limit 1 for update of w skip locked`,
		v.rules.DoctorID, v.after, v.rules.DateOf(v.startsAt), v.notFor, now, v.startsAt, v.endsAt)
}

// hasOffer reports whether an entry that the transaction has locked has an open offer. nextWaiting cannot tell: its
// statement may have begun before the transaction that last had the entry locked ended.
func hasOffer(ctx context.Context, tx *postgres.Tx, id int64, now time.Time) (bool, error) {
	open, err := postgres.Column[int64](ctx, tx, "offers",
		`select id from slot_claims where waitlist_id = $1 and expires_at > $2`, id, now)
	return len(open) > 0, err
}

type waitingEntry struct {
	ID        int64
	PatientID int64
}
