package appointment

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
	"housecall/internal/schedule"
)

func names(statuses []Status) []string {
	out := make([]string, len(statuses))
	for i, s := range statuses {
		out[i] = string(s)
	}
	return out
}

// moment is null for the zero time.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// lockRequests makes other transactions that open requests or holds for the patient wait until this one ends. It
// takes an advisory lock because the patient's row belongs to another package.
func lockRequests(ctx context.Context, tx *postgres.Tx, patientID int64) error {
	b := &postgres.Batch{}
	queueRequestsLock(b, patientID)
	return postgres.Send(ctx, tx, b)
}

// queueRequestsLock is lockRequests inside a batch.
func queueRequestsLock(b *postgres.Batch, patientID int64) {
	postgres.QueueExec(b, "lock the patient's requests",
		`select pg_advisory_xact_lock(hashtextextended('appointment.requests', $1))`, patientID)
}

// lockSpecialization makes other transactions that choose among the doctors of a specialization wait until this one
// ends.
func lockSpecialization(ctx context.Context, tx *postgres.Tx, specialization string) error {
	_, err := postgres.Exec(ctx, tx, "lock the specialization",
		`select pg_advisory_xact_lock(hashtextextended('appointment.specialization:' || lower($1::text), 0))`, specialization)
	return err
}

// countRequests counts a patient's open requests. A request whose time has passed is no longer open.
func countRequests(ctx context.Context, tx *postgres.Tx, patientID int64, now time.Time) (int, error) {
	found, err := postgres.Column[int64](ctx, tx, "open requests", `select count(*) from appointments
		where patient_id = $1 and status = 'PENDING' and (ends_at is null or ends_at > $2)`, patientID, now)
	if err != nil {
		return 0, err
	}
	return int(found[0]), nil
}

// countTimed counts those of a patient's open requests that hold a time.
func countTimed(ctx context.Context, tx *postgres.Tx, patientID int64, now time.Time) (int, error) {
	found, err := postgres.Column[int64](ctx, tx, "open requests", `select count(*) from appointments
		where patient_id = $1 and status = 'PENDING' and ends_at > $2`, patientID, now)
	if err != nil {
		return 0, err
	}
	return int(found[0]), nil
}

// countBooked counts a patient's upcoming booked appointments.
func countBooked(ctx context.Context, tx *postgres.Tx, patientID int64, now time.Time) (int, error) {
	found, err := postgres.Column[int64](ctx, tx, "booked appointments", `select count(*) from appointments
		where patient_id = $1 and status = 'BOOKED' and ends_at > $2`, patientID, now)
	if err != nil {
		return 0, err
	}
	return int(found[0]), nil
}

// insert adds a request and fills in its id, version and times; askedAs is that of its booking. If the public id is
// taken, it writes nothing and fresh is false.
func insert(
	ctx context.Context, tx *postgres.Tx, a Appointment, askedAs string,
) (_ Appointment, fresh bool, err error) {
	a.Version, a.CreatedAt, a.UpdatedAt = 1, tx.Now(), tx.Now()
	err = tx.QueryRow(ctx, `insert into appointments
		(public_id, patient_id, doctor_id, status, starts_at, ends_at, reason, version, created_at, updated_at, asked_as)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, nullif($10::text, ''))
		on conflict (public_id) do nothing returning id`,
		a.PublicID, a.Patient.ID, a.Doctor.ID, a.Status, a.StartsAt, a.EndsAt, a.Reason, a.Version, tx.Now(), askedAs).
		Scan(&a.ID)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return Appointment{}, false, nil
	case err != nil:
		return Appointment{}, false, fmt.Errorf("insert appointment: %w", err)
	}
	return a, true, nil
}

// update writes a's changeable columns if the row still has the status and version that were read (compare and swap);
// otherwise it returns errs.ErrStale.
func update(ctx context.Context, tx *postgres.Tx, a Appointment, readStatus Status, readVersion int) error {
	n, err := postgres.Exec(ctx, tx, "update appointment", `update appointments
		set status = $4, starts_at = $5, ends_at = $6, note = $7, end_reason = $8, completed_at = $9, version = $10,
		    updated_at = $11, doctor_id = $12, summary = $13, follow_up_on = $14,
		    proposed_starts_at = $15, proposed_ends_at = $16, answer_by = $17
		where id = $1 and status = $2 and version = $3`,
		a.ID, readStatus, readVersion, a.Status, a.StartsAt, a.EndsAt, a.Note, a.EndReason, a.CompletedAt, a.Version,
		a.UpdatedAt, a.Doctor.ID, a.Summary, a.FollowUpOn, a.Proposal.start(), a.Proposal.end(), a.Proposal.deadline())
	if err == nil && n != 1 {
		err = errs.ErrStale
	}
	return err
}

// record adds the history row for a change that led to a.
func record(ctx context.Context, tx *postgres.Tx, a Appointment, from Status, c change) error {
	_, err := tx.Exec(ctx, `insert into appointment_history
		(appointment_id, version, at, actor_id, actor_role, action, from_status, to_status, starts_at, ends_at, reason,
		 proposed_starts_at, proposed_ends_at)
		values ($1, $2, $3, nullif($4::bigint, 0), $5, $6, nullif($7::text, ''), $8, $9, $10, $11, $12, $13)`,
		a.ID, a.Version, tx.Now(), c.actor.ID, c.role(), c.move, from, a.Status, a.StartsAt, a.EndsAt, c.reason,
		a.Proposal.start(), a.Proposal.end())
	if err != nil {
		return fmt.Errorf("record history: %w", err)
	}
	return nil
}

// historyRow is one row of appointment_history with its actor, whose name comes from users (see list).
type historyRow struct {
	Version    int
	At         time.Time
	ActorRef   string
	ActorName  string
	ActorRole  auth.Role // the one in which they acted, whatever it is now
	Action     string
	FromStatus Status
	ToStatus   Status
	StartsAt   *time.Time
	EndsAt     *time.Time
	Reason     string
	// The proposal, as of after the change.
	ProposedStartsAt *time.Time
	ProposedEndsAt   *time.Time
}

// step is the row as the participants may see it.
func (r historyRow) step() Step {
	st := Step{
		Version: r.Version, At: r.At.UTC(), Action: r.Action, From: r.FromStatus, To: r.ToStatus,
		StartsAt: utc(r.StartsAt), EndsAt: utc(r.EndsAt), Reason: r.Reason,
		ProposedStartsAt: utc(r.ProposedStartsAt), ProposedEndsAt: utc(r.ProposedEndsAt),
	}
	st.Actor.Role = r.ActorRole
	if r.ActorRole == auth.Patient || r.ActorRole == auth.Doctor {
		st.Actor.UserID, st.Actor.Name = r.ActorRef, r.ActorName
	}
	return st
}

// history reads a page of the rows after a version, oldest first.
func history(ctx context.Context, db postgres.DB, appointmentID int64, afterVersion, limit int) ([]historyRow, error) {
	return postgres.Rows[historyRow](ctx, db, "history", `
		select h.version, h.at, coalesce(u.public_id, '') as actor_ref,
		       coalesce(u.name, '') as actor_name, h.actor_role, h.action,
		       coalesce(h.from_status, '') as from_status, h.to_status, h.starts_at, h.ends_at, h.reason,
		       h.proposed_starts_at, h.proposed_ends_at
		from appointment_history h left join users u on u.id = h.actor_id
		where h.appointment_id = $1 and h.version > $2::bigint
		order by h.version limit $3`, appointmentID, afterVersion, limit)
}

// lastBooked returns the times for which an appointment was BOOKED last before a version; none if it never was.
func lastBooked(ctx context.Context, db postgres.DB, id int64, version int) ([]schedule.Slot, error) {
	return postgres.Rows[schedule.Slot](ctx, db, "look into history", `
		select starts_at, ends_at from appointment_history
		where appointment_id = $1 and version < $2 and to_status = 'BOOKED' order by version desc limit 1`, id, version)
}

// lastMoved returns the version of the last change of status, time or doctor up to a version.
func lastMoved(ctx context.Context, db postgres.DB, id int64, version int) ([]int, error) {
	return postgres.Column[int](ctx, db, "look into history", `
		select version from (
			select version, action, from_status, to_status, starts_at, lag(starts_at) over (order by version) as was
			from appointment_history where appointment_id = $1 and version <= $2) h
		where from_status is distinct from to_status or starts_at is distinct from was or action = $3
		order by version desc limit 1`, id, version, MoveHandOver)
}

// expiredAt returns when a request ran out.
func expiredAt(ctx context.Context, db postgres.DB, id int64) ([]time.Time, error) {
	return postgres.Column[time.Time](ctx, db, "look into history", `
		select at from appointment_history where appointment_id = $1 and action = 'expire' order by version desc limit 1`, id)
}

// cared is the condition that an appointment makes its patient the doctor's own: it took place, is booked, or was
// booked once, as its history shows. One that the doctor opened counts only if it took place; otherwise doctors could
// make anyone their patient by booking, confirming and cancelling without them. An appointment that was handed over
// counts for the new doctor.
const cared = `(a.status = 'COMPLETED' or (
	(a.status in ('BOOKED', 'NO_SHOW') or exists
		(select from appointment_history h where h.appointment_id = a.id and h.to_status = 'BOOKED'))
	and not exists (select from appointment_history h
		where h.appointment_id = a.id and h.version = 1 and h.actor_id = a.doctor_id)))`

func patientsOf(ctx context.Context, db postgres.DB, doctorID, after int64, limit int) ([]int64, error) {
	return postgres.Column[int64](ctx, db, "a doctor's patients", `select distinct a.patient_id from appointments a
		where a.doctor_id = $1 and a.patient_id > $2 and `+cared+`
		order by a.patient_id limit $3`, doctorID, after, limit)
}

func caresFor(ctx context.Context, db postgres.DB, doctorID, patientID int64) (bool, error) {
	var yes bool
	err := db.QueryRow(ctx, `select exists (select from appointments a
		where a.doctor_id = $1 and a.patient_id = $2 and `+cared+`)`, doctorID, patientID).Scan(&yes)
	if err != nil {
		return false, fmt.Errorf("look for an appointment of doctor and patient: %w", postgres.Classify(err))
	}
	return yes, nil
}
