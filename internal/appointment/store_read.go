package appointment

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"housecall/internal/errs"
	"housecall/internal/postgres"
)

// row is one row of appointments with its people. Public ids and names come from users, specializations from doctors;
// these are other packages' tables, which are only read.
type row struct {
	ID             int64
	PublicID       string
	PatientID      int64
	PatientRef     string
	PatientName    string
	DoctorID       int64
	DoctorRef      string
	DoctorName     string
	Specialization string
	DoctorLeft     bool
	Status         Status
	StartsAt       *time.Time
	EndsAt         *time.Time
	ProposedStarts *time.Time
	ProposedEnds   *time.Time
	AnswerBy       *time.Time
	Reason         string
	Note           string
	EndReason      string
	Summary        string
	FollowUpOn     *time.Time
	CompletedAt    *time.Time
	Version        int
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

// The select list and the joins of a row. What provides the appointments a goes in between: the table itself, or a
// subquery that locks some of its rows. The lock must be in the subquery: names are then joined to the row as it is
// once the lock has been granted, so that an appointment handed over while we waited comes with its new doctor.
const (
	columns = `a.id, a.public_id, a.patient_id, p.public_id as patient_ref, p.name as patient_name,
		a.doctor_id, d.public_id as doctor_ref, d.name as doctor_name, coalesce(s.specialization, '') as specialization,
		exists (select from participants m
			where m.appointment_id = a.id and m.user_id = a.doctor_id and not m.active) as doctor_left,
		a.status, a.starts_at, a.ends_at, a.proposed_starts_at as proposed_starts, a.proposed_ends_at as proposed_ends,
		a.answer_by, a.reason, a.note, a.end_reason, a.summary, a.follow_up_on, a.completed_at,
		a.version, a.created_at, a.updated_at`
	people = `join users p on p.id = a.patient_id
		join users d on d.id = a.doctor_id
		left join doctors s on s.user_id = a.doctor_id`
)

func (r row) appointment() Appointment {
	return Appointment{
		ID: r.ID, PublicID: r.PublicID, Status: r.Status,
		Patient:    Person{ID: r.PatientID, UserID: r.PatientRef, Name: r.PatientName},
		Doctor:     Person{ID: r.DoctorID, UserID: r.DoctorRef, Name: r.DoctorName, Specialization: r.Specialization},
		doctorLeft: r.DoctorLeft,
		StartsAt:   utc(r.StartsAt), EndsAt: utc(r.EndsAt), Proposal: r.proposal(), Reason: r.Reason,
		Note: r.Note, EndReason: r.EndReason,
		Summary: r.Summary, FollowUpOn: utc(r.FollowUpOn), CompletedAt: utc(r.CompletedAt), Version: r.Version,
		CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(),
	}
}

func (r row) proposal() *Proposal {
	if r.AnswerBy == nil {
		return nil
	}
	return &Proposal{
		StartsAt: r.ProposedStarts.UTC(), EndsAt: r.ProposedEnds.UTC(), AnswerBy: r.AnswerBy.UTC(), By: proposer(r.Status),
	}
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

// one reads the single appointment that a query finds; errs.Missing if there is none.
func one(ctx context.Context, db postgres.DB, sql string, args ...any) (Appointment, error) {
	all, err := many(ctx, db, sql, args...)
	if err != nil {
		return Appointment{}, err
	}
	if len(all) == 0 {
		return Appointment{}, errs.Missing("appointment")
	}
	return all[0], nil
}

func many(ctx context.Context, db postgres.DB, sql string, args ...any) ([]Appointment, error) {
	found, err := postgres.Rows[row](ctx, db, "appointments", sql, args...)
	if err != nil {
		return nil, err
	}
	out := make([]Appointment, len(found))
	for i, r := range found {
		out[i] = r.appointment()
	}
	return out, nil
}

const (
	selectByPublicID = `select ` + columns + ` from appointments a ` + people + ` where a.public_id = $1`
	selectByID       = `select ` + columns + ` from appointments a ` + people + ` where a.id = $1`
	// selectLocked locks the row until the transaction ends.
	selectLocked = `select ` + columns + `
		from (select * from appointments where public_id = $1 for update) a ` + people
)

func byPublicID(ctx context.Context, db postgres.DB, publicID string) (Appointment, error) {
	return one(ctx, db, selectByPublicID, publicID)
}

func byID(ctx context.Context, db postgres.DB, id int64) (Appointment, error) {
	return one(ctx, db, selectByID, id)
}

// locked reads an appointment and locks its row until the transaction ends. Every change begins with it.
func locked(ctx context.Context, tx *postgres.Tx, publicID string) (Appointment, error) {
	return one(ctx, tx, selectLocked, publicID)
}

// QueueByID is ByID as part of the caller's batch. into is filled by the time the batch's results are closed; closing
// them returns errs.Missing if there is no such appointment.
func (s *Service) QueueByID(b *pgx.Batch, id int64, into *Appointment) {
	queueOne(b, into, selectByID, id)
}

// queueOne is one as part of a batch.
func queueOne(b *pgx.Batch, into *Appointment, sql string, args ...any) {
	b.Queue(sql, args...).Query(func(rows pgx.Rows) error {
		found, err := pgx.CollectRows(rows, pgx.RowToStructByName[row])
		if err != nil {
			return err //nolint:wrapcheck // whoever sends the batch wraps it
		}
		if len(found) == 0 {
			return errs.Missing("appointment")
		}
		*into = found[0].appointment()
		return nil
	})
}

// lockUnsettled reads and locks the appointments that a leaving doctor still has to settle: live ones that are not
// over, those that are over but whose conversations may be open (booked ones that nobody completed, and those
// completed after since), and those that ran out and for which they proposed another time. They come in id order, in
// which the conversations must be locked too.
func lockUnsettled(ctx context.Context, tx *postgres.Tx, doctorID int64, now, since time.Time) ([]Appointment, error) {
	return many(ctx, tx, `select `+columns+` from (
			select * from appointments
			where doctor_id = $1 and (status = 'BOOKED'
				or (status = 'PENDING' and (ends_at is null or ends_at > $2))
				or (status = 'EXPIRED' and answer_by is not null)
				or (status = 'COMPLETED' and coalesce(completed_at, updated_at) > $3))
			order by id for update
		) a `+people+` order by a.id`, doctorID, now, since)
}

// lockAnswerable reads and locks a doctor's appointments whose conversations are open unless somebody closed them, in
// id order: booked ones and those completed after since.
func lockAnswerable(ctx context.Context, tx *postgres.Tx, doctorID int64, since time.Time) ([]Appointment, error) {
	return many(ctx, tx, `select `+columns+` from (
			select * from appointments
			where doctor_id = $1 and (status = 'BOOKED'
				or (status = 'COMPLETED' and coalesce(completed_at, updated_at) > $2))
			order by id for update
		) a `+people+` order by a.id`, doctorID, since)
}

// Conditions under which an appointment changes with time, at $1.
const (
	dueTimed   = `status = 'PENDING' and starts_at <= $1`
	dueUntimed = `status = 'PENDING' and starts_at is null and created_at <= $1`
	dueBooked  = `status = 'BOOKED' and ends_at <= $1`
	// The few claims lead to the proposals among all appointments.
	dueProposal = `answer_by <= $1 and id in (select proposal_of from slot_claims where proposal_of is not null)`
)

// due lists the ids of the appointments that a deadline applies to, above an id.
func due(ctx context.Context, db postgres.DB, d deadline, after int64, limit int) ([]int64, error) {
	return postgres.Column[int64](ctx, db, "deadlines",
		`select id from appointments where `+d.due+` and id > $2 order by id limit $3`, d.before, after, limit)
}

// lockDue reads and locks one of them, if the deadline still applies and no other transaction has locked it.
func lockDue(ctx context.Context, tx *postgres.Tx, d deadline, id int64) ([]Appointment, error) {
	return many(ctx, tx, `select `+columns+`
		from (select * from appointments where `+d.due+` and id = $2 for update skip locked) a `+people, d.before, id)
}

// query is a Filter, limited to what an actor may see, and a position in the list.
type query struct {
	Filter
	participant int64 // users.id of a user who must take part; 0: nobody in particular
	after       Position
	limit       int
}

// orders are how lists are sorted, and the condition that an appointment a comes after the Position of $7 and $8. Ids
// make every order total.
var orders = map[Order]struct{ by, after string }{
	Newest: {`a.id desc`, `$8::timestamptz is null and a.id < $7`},
	Soonest: {`a.starts_at nulls last, a.id`, `case when $8::timestamptz is null then a.starts_at is null and a.id > $7
		else a.starts_at is null or (a.starts_at, a.id) > ($8, $7) end`},
	Latest: {`a.starts_at desc nulls last, a.id desc`, `case when $8::timestamptz is null
		then a.starts_at is null and a.id < $7
		else a.starts_at is null or (a.starts_at, a.id) < ($8, $7) end`},
}

// theirs is the condition that the user $1 takes part in an appointment a; with 0 it always holds. The array makes
// PostgreSQL find their appointments by index, however many others there are.
const theirs = `($1::bigint = 0 or a.id = any(array(
	select m.appointment_id from participants m where m.user_id = $1 and m.active)))`

// list reads a page.
func list(ctx context.Context, db postgres.DB, q query) ([]Appointment, error) {
	order := orders[q.Order]
	return many(ctx, db, `select `+columns+` from appointments a `+people+`
		where `+theirs+`
		  and ($2 = '' or d.public_id = $2)
		  and ($3 = '' or p.public_id = $3)
		  and (cardinality($4::text[]) = 0 or a.status = any($4))
		  and ($5::timestamptz is null or a.starts_at >= $5)
		  and ($6::timestamptz is null or a.starts_at < $6)
		  and ($7::bigint = 0 or (`+order.after+`))
		order by `+order.by+` limit $9`,
		q.participant, q.Doctor, q.Patient, names(q.Statuses), moment(q.From), moment(q.To), q.after.ID, q.after.StartsAt,
		q.limit)
}

// counts counts what list would return; it uses only the filter's Doctor.
func counts(ctx context.Context, db postgres.DB, q query) (map[Status]int, error) {
	type line struct {
		Status Status
		N      int
	}
	found, err := postgres.Rows[line](ctx, db, "counts", `select a.status, count(*) as n from appointments a
		where `+theirs+`
		  and ($2 = '' or a.doctor_id = (select u.id from users u where u.public_id = $2))
		group by a.status`, q.participant, q.Doctor)
	if err != nil {
		return nil, err
	}
	out := make(map[Status]int, len(found))
	for _, l := range found {
		out[l.Status] = l.N
	}
	return out, nil
}
