package appointment

import (
	"context"

	"housecall/internal/postgres"
)

// fresh is the condition that an appointment a was made within the last minute.
const fresh = `a.created_at > now() - interval '1 minute'`

// equal is the condition that an appointment a is live, and was asked for by the same user for the same patient and
// doctor with the same reason.
const equal = `a.patient_id = $1 and a.doctor_id = $2 and a.reason = $3 and a.status in ('PENDING', 'BOOKED')
	and h.appointment_id = a.id and h.version = 1 and h.actor_id = $4`

// madeWithoutTime returns an equal appointment that was asked for without a time, if it is still without one or fresh.
func madeWithoutTime(ctx context.Context, tx *postgres.Tx, o opening) ([]Appointment, error) {
	return many(ctx, tx, `select `+columns+` from appointments a `+people+`, appointment_history h
		where `+equal+` and h.starts_at is null and (a.starts_at is null or `+fresh+`)
		order by a.id desc limit 1`, o.draft.Patient.ID, o.draft.Doctor.ID, o.draft.Reason, o.actor.ID)
}

// madeWithin returns a fresh equal appointment that was asked for within the same range of time.
func madeWithin(ctx context.Context, tx *postgres.Tx, o opening) ([]Appointment, error) {
	return many(ctx, tx, `select `+columns+` from appointments a `+people+`, appointment_history h
		where `+equal+` and a.asked_as = $5 and `+fresh+`
		order by a.id desc limit 1`, o.draft.Patient.ID, o.draft.Doctor.ID, o.draft.Reason, o.actor.ID, o.askedAs())
}

// ownRow is an appointment that a booking would make again. Fresh means that the same user made it within the last
// minute.
type ownRow struct {
	row
	Fresh bool
}

// ownAt returns the live appointment that a booking of a hold or of a time asks for, if the patient has it already.
func ownAt(ctx context.Context, db postgres.DB, b Booking, actorID int64) ([]ownRow, error) {
	return postgres.Rows[ownRow](ctx, db, "appointments", `select `+columns+`, `+fresh+` and exists (
			select from appointment_history h where h.appointment_id = a.id and h.version = 1 and h.actor_id = $6) as fresh
		from appointments a `+people+`
		where p.public_id = $1 and a.status in ('PENDING', 'BOOKED')
		  and ($2 = '' and a.starts_at = $3
		          and ($4 = '' or d.public_id = $4) and ($5 = '' or lower(s.specialization) = lower($5))
		      or $2 <> '' and a.asked_as = $2)
		order by a.id desc limit 1`, b.Patient, b.askedAs(), b.StartsAt, b.Doctor, b.Specialization, actorID)
}
