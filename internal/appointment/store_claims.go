package appointment

import (
	"context"
	"time"

	"housecall/internal/errs"
	"housecall/internal/postgres"
	"housecall/internal/schedule"
)

// Constraints of slot_claims whose violations are worded for people.
const (
	doctorTaken = "slot_claims_doctor_excl"
	patientBusy = "slot_claims_patient_excl"
)

// claim claims the appointment's time for its doctor and its patient, or moves its claim. blocked is the time with
// the doctor's buffers. If a constraint is violated, the error carries its name.
func claim(ctx context.Context, tx *postgres.Tx, a Appointment, blocked schedule.Range) error {
	_, err := postgres.Exec(ctx, tx, "claim the time", `
		insert into slot_claims (appointment_id, doctor_id, patient_id, blocked, visible)
		values ($1, $2, $3, tstzrange($4, $5), tstzrange($6, $7))
		on conflict (appointment_id) do update
		set doctor_id = excluded.doctor_id, blocked = excluded.blocked, visible = excluded.visible`,
		a.ID, a.Doctor.ID, a.Patient.ID, blocked.From, blocked.To, a.StartsAt, a.EndsAt)
	return err
}

// claimProposal claims the appointment's proposed time, or moves that claim. It is like claim.
func claimProposal(ctx context.Context, tx *postgres.Tx, a Appointment, blocked schedule.Range) error {
	_, err := postgres.Exec(ctx, tx, "claim the proposed time", `
		insert into slot_claims (proposal_of, doctor_id, patient_id, blocked, visible)
		values ($1, $2, $3, tstzrange($4, $5), tstzrange($6, $7))
		on conflict (proposal_of) do update
		set doctor_id = excluded.doctor_id, blocked = excluded.blocked, visible = excluded.visible`,
		a.ID, a.Doctor.ID, a.Patient.ID, blocked.From, blocked.To, a.Proposal.StartsAt, a.Proposal.EndsAt)
	return err
}

// unclaimProposal releases the appointment's proposed time.
func unclaimProposal(ctx context.Context, tx *postgres.Tx, appointmentID int64) error {
	_, err := postgres.Exec(ctx, tx, "release the proposed time", `delete from slot_claims where proposal_of = $1`,
		appointmentID)
	return err
}

// unclaim releases the appointment's claim; without one it does nothing.
func unclaim(ctx context.Context, tx *postgres.Tx, appointmentID int64) error {
	_, err := postgres.Exec(ctx, tx, "release the time", `delete from slot_claims where appointment_id = $1`,
		appointmentID)
	return err
}

// unexpired is the condition that a claim c has not expired at the time $1.
const unexpired = `(c.expires_at is null or c.expires_at > $1)`

// doctorRange is a range of a doctor's time that is taken. StartsAt and EndsAt are those of the appointment or hold
// that takes it, without buffers. AppointmentID is 0 for a hold; Own means one of the asking patient.
type doctorRange struct {
	DoctorID         int64
	AppointmentID    int64
	From, To         time.Time
	StartsAt, EndsAt time.Time
	Own              bool
}

// takenOf lists what the doctors' claims block between from and to, except for one appointment (0: none) that is to
// be moved.
func takenOf(ctx context.Context, db postgres.DB, q occupancy) ([]doctorRange, error) {
	return postgres.Rows[doctorRange](ctx, db, "claimed times", `
		select d.id as doctor_id, c.appointment_id, lower(c.blocked) as "from", upper(c.blocked) as "to",
		       lower(c.visible) as starts_at, upper(c.visible) as ends_at, c.own
		from unnest($2::bigint[]) as d (id)
		cross join lateral (
			select coalesce(c.appointment_id, c.proposal_of, 0) as appointment_id, c.blocked, c.visible,
			       c.hold_id is not null and c.patient_id = $5 as own from slot_claims c
			where c.doctor_id = d.id and c.blocked && tstzrange($3, $4) and `+unexpired+`
			  and coalesce(c.appointment_id, c.proposal_of, -1) <> $6) c`,
		q.now, q.doctors, q.from, q.to, q.patient, q.except)
}

// busyOf lists when a patient has appointments between from and to, except for one (0: none). Their own holds do not
// count.
func busyOf(ctx context.Context, db postgres.DB, q occupancy) ([]schedule.Range, error) {
	return postgres.Rows[schedule.Range](ctx, db, "the patient's times", `
		select lower(c.visible) as "from", upper(c.visible) as "to" from slot_claims c
		where c.patient_id = $2 and c.visible && tstzrange($3, $4) and `+unexpired+`
		  and c.hold_id is null and coalesce(c.appointment_id, c.proposal_of) <> $5`,
		q.now, q.patient, q.from, q.to, q.except)
}

// takenPlace lists when the doctors' past appointments began: they hold no time, but count towards daily limits.
func takenPlace(ctx context.Context, db postgres.DB, q occupancy) ([]doctorRange, error) {
	return postgres.Rows[doctorRange](ctx, db, "past appointments", `
		select doctor_id, id as appointment_id, starts_at as "from", starts_at as "to", starts_at, ends_at, false as own
		from appointments
		where doctor_id = any($1) and status in ('COMPLETED', 'NO_SHOW') and starts_at >= $2 and starts_at < $3`,
		q.doctors, q.from, q.to)
}

// holdRow is a row of slot_claims that is a hold.
type holdRow struct {
	HoldID     string
	DoctorID   int64
	DoctorRef  string // public id, from users (see row)
	PatientID  int64
	StartsAt   time.Time
	EndsAt     time.Time
	ExpiresAt  time.Time
	WaitlistID *int64
}

const holdColumns = `hold_id::text as hold_id, doctor_id,
	(select u.public_id from users u where u.id = doctor_id) as doctor_ref,
	patient_id, lower(visible) as starts_at, upper(visible) as ends_at,
	expires_at, waitlist_id`

// holdOf reads a patient's hold that has not expired; errs.Missing if there is none.
func holdOf(ctx context.Context, db postgres.DB, patientID int64, holdID string, now time.Time) (holdRow, error) {
	found, err := postgres.Rows[holdRow](ctx, db, "hold", `select `+holdColumns+` from slot_claims
		where hold_id::text = $1 and patient_id = $2 and expires_at > $3`, holdID, patientID, now)
	if err != nil {
		return holdRow{}, err
	}
	if len(found) == 0 {
		return holdRow{}, errs.Missing("hold")
	}
	return found[0], nil
}

// holdsOf lists a patient's holds that have not expired, in the order in which they will.
func holdsOf(ctx context.Context, db postgres.DB, patientID int64, now time.Time) ([]holdRow, error) {
	return postgres.Rows[holdRow](ctx, db, "holds", `select `+holdColumns+` from slot_claims
		where patient_id = $1 and expires_at > $2 order by expires_at, id`, patientID, now)
}

// offerStands reports whether an offer exists and has not expired.
func offerStands(ctx context.Context, db postgres.DB, holdID string, now time.Time) (bool, error) {
	n, err := postgres.Exec(ctx, db, "look for an offer", `
		select from slot_claims where hold_id::text = $1 and waitlist_id is not null and expires_at > $2`, holdID, now)
	return n > 0, err
}

// dropHold ends a hold and returns it; it returns none if another transaction has already ended it.
func dropHold(ctx context.Context, tx *postgres.Tx, holdID string) ([]holdRow, error) {
	return postgres.Rows[holdRow](ctx, tx, "hold",
		`delete from slot_claims where hold_id::text = $1 returning `+holdColumns, holdID)
}

// dropOffers ends the offers to a waiting-list entry, and returns them.
func dropOffers(ctx context.Context, tx *postgres.Tx, waitlistID int64) ([]holdRow, error) {
	return postgres.Rows[holdRow](ctx, tx, "offers",
		`delete from slot_claims where waitlist_id = $1 returning `+holdColumns, waitlistID)
}

// dropOverlapping ends a patient's holds that overlap a time, and returns them.
func dropOverlapping(ctx context.Context, tx *postgres.Tx, patientID int64, from, to time.Time) ([]holdRow, error) {
	return postgres.Rows[holdRow](ctx, tx, "holds", `delete from slot_claims
		where patient_id = $1 and hold_id is not null and visible && tstzrange($2, $3) returning `+holdColumns,
		patientID, from, to)
}

// dropExpired ends up to limit expired holds of a doctor, and returns them. It skips those that another transaction
// is removing.
func dropExpired(ctx context.Context, tx *postgres.Tx, doctorID int64, now time.Time, limit int) ([]holdRow, error) {
	return postgres.Rows[holdRow](ctx, tx, "expired holds", `delete from slot_claims
		where id in (
			select id from slot_claims where expires_at <= $2 and doctor_id = $1
			order by expires_at limit $3 for update skip locked)
		returning `+holdColumns, doctorID, now, limit)
}

// want is a slot that a patient is to have with the doctor whose rules these are.
type want struct {
	rules     schedule.Rules
	patientID int64
	slot      schedule.Slot
}

// dropExpiredIn ends the expired holds that keep a patient from a doctor's slot, and returns them: those that touch
// the time that the slot blocks, and the patient's own that overlap it. It skips holds as dropExpired does; a claim
// then waits for them.
func dropExpiredIn(ctx context.Context, tx *postgres.Tx, w want, now time.Time) ([]holdRow, error) {
	blocked := w.rules.Blocks(w.slot)
	return postgres.Rows[holdRow](ctx, tx, "expired holds", `delete from slot_claims
		where id in (
			select id from slot_claims
			where expires_at <= $7 and (doctor_id = $1 and blocked && tstzrange($3, $4)
				or patient_id = $2 and visible && tstzrange($5, $6))
			order by id for update skip locked)
		returning `+holdColumns,
		w.rules.DoctorID, w.patientID, blocked.From, blocked.To, w.slot.StartsAt, w.slot.EndsAt, now)
}

// doctorsWithExpired lists the doctors with expired holds.
func doctorsWithExpired(ctx context.Context, db postgres.DB, now time.Time) ([]int64, error) {
	return postgres.Column[int64](ctx, db, "expired holds",
		`select distinct doctor_id from slot_claims where expires_at <= $1 order by 1`, now)
}

// dropHoldsWith ends all holds on a doctor's time.
func dropHoldsWith(ctx context.Context, tx *postgres.Tx, doctorID int64) error {
	_, err := postgres.Exec(ctx, tx, "end holds", `delete from slot_claims where doctor_id = $1 and hold_id is not null`,
		doctorID)
	return err
}

// newHold keeps a time for a patient; waitlistID is 0 unless it is an offer. ok is false if the doctor or the patient
// is not free then. Unlike a violated constraint, that does not abort the transaction.
func newHold(ctx context.Context, tx *postgres.Tx, h holdRow, blocked schedule.Range) (_ holdRow, ok bool, err error) {
	made, err := postgres.Rows[holdRow](ctx, tx, "hold", `
		insert into slot_claims (hold_id, doctor_id, patient_id, blocked, visible, expires_at, waitlist_id)
		values (gen_random_uuid(), $1, $2, tstzrange($3, $4), tstzrange($5, $6), $7, $8)
		on conflict do nothing returning `+holdColumns,
		h.DoctorID, h.PatientID, blocked.From, blocked.To, h.StartsAt, h.EndsAt, h.ExpiresAt, h.WaitlistID)
	if err != nil || len(made) == 0 {
		return h, false, err
	}
	return made[0], true, nil
}
