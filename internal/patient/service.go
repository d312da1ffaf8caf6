package patient

import (
	"context"
	"slices"
	"time"

	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
)

// errNoDoctor is a 422, not a 404: the URL was right, the body was not.
var errNoDoctor = errs.InvalidField("body.doctorId", "there is no such doctor")

// Care tells which patients are a doctor's own by appointment: they have or had a BOOKED or COMPLETED one. Package
// appointment implements it.
type Care interface {
	// PatientsOf returns up to limit ids of such patients above after, in ascending order without duplicates.
	PatientsOf(ctx context.Context, db postgres.DB, doctorID, after int64, limit int) ([]int64, error)
	// CaresFor reports whether the patient is one of them.
	CaresFor(ctx context.Context, db postgres.DB, doctorID, patientID int64) (bool, error)
}

// Doctors finds doctors who can be assigned. Package doctor implements it.
type Doctors interface {
	// Find returns the id of an active doctor; errs.NotFound if none has that public id.
	Find(ctx context.Context, db postgres.DB, publicID string) (int64, error)
}

// Service is the only way to the registry.
type Service struct {
	pool    *postgres.Pool
	doctors Doctors
	care    Care
	options Options
}

// Options are the configured values.
type Options struct {
	// PhoneRegion is the country of phone numbers without a country's code; see text.ReadPhone.
	PhoneRegion string
}

// Deps are what a Service works with.
type Deps struct {
	Pool    *postgres.Pool
	Doctors Doctors
	Care    Care
	Options Options
}

// New returns a Service.
func New(d Deps) *Service {
	return &Service{pool: d.Pool, doctors: d.Doctors, care: d.Care, options: d.Options}
}

// Check returns all fields of an entry that break a rule, as one errs.Invalid. now is the latest date of birth.
func (s *Service) Check(d Details, now time.Time) error {
	_, err := d.normalize(now, s.options.PhoneRegion)
	return err
}

// Create creates a user's entry, unless there is one: users who become patients again keep theirs. Fields that are
// empty in d come from what the user entered at sign-up.
func (s *Service) Create(ctx context.Context, tx *postgres.Tx, by auth.Actor, userID int64, d Details) error {
	d, err := d.normalize(tx.Now(), s.options.PhoneRegion)
	if err != nil {
		return err
	}
	told, ok, err := s.takeSignup(ctx, tx, userID)
	if err != nil {
		return err
	}
	if ok && d == (Details{}) {
		d = told
	}
	_, err = insertEntry(ctx, tx, by, userID, d)
	return err
}

// Resolve returns the entry of a public id; errs.NotFound if there is none. It checks no rights.
func (s *Service) Resolve(ctx context.Context, db postgres.DB, publicID string) (Patient, error) {
	p, err := selectEntry(ctx, db, publicID)
	if errs.KindOf(err) != errs.NotFound {
		return p, err
	}
	waits, failed := signedUp(ctx, db, publicID)
	if failed != nil {
		return Patient{}, failed
	}
	if waits {
		return Patient{}, ErrNotRegistered
	}
	return Patient{}, err
}

// ByIDs returns entries by id, in one statement. Ids without an entry are left out.
func (s *Service) ByIDs(ctx context.Context, db postgres.DB, ids ...int64) (map[int64]Patient, error) {
	out := make(map[int64]Patient, len(ids))
	if len(ids) == 0 {
		return out, nil
	}
	found, err := selectByIDs(ctx, db, ids)
	if err != nil {
		return nil, err
	}
	for _, p := range found {
		out[p.ID] = p
	}
	return out, nil
}

// QueueActive asks, as part of the caller's batch, whether a user has an entry and is not disabled. into is filled
// once the batch has been sent.
func (s *Service) QueueActive(b *postgres.Batch, id int64, into *bool) { queueActive(b, id, into) }

// List returns up to limit entries that the actor may see, in the order in which their users were created, after a
// user's id (0: from the start), and whether there are more. Admins see all, doctors those assigned to them or theirs
// by appointment, everyone else their own.
func (s *Service) List(
	ctx context.Context, by auth.Actor, after int64, limit int,
) (page []Patient, more bool, err error) {
	err = s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		if page, err = s.visible(ctx, tx, by, after, limit+1); err != nil {
			return err
		}
		page, more = cut(page, limit)
		return recordList(ctx, tx, by, page)
	})
	return page, more, err
}

// Newest is List for admins, from the newest user on, before a user's id (0: from the newest). Others get
// errs.ErrForbidden.
func (s *Service) Newest(
	ctx context.Context, by auth.Actor, before int64, limit int,
) (page []Patient, more bool, err error) {
	if by.Role != auth.Admin {
		return nil, false, errs.ErrForbidden
	}
	err = s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		if page, err = selectBefore(ctx, tx, before, limit+1); err != nil {
			return err
		}
		page, more = cut(page, limit)
		return recordList(ctx, tx, by, page)
	})
	return page, more, err
}

// cut limits a page that was read with one entry more.
func cut(page []Patient, limit int) (_ []Patient, more bool) {
	return page[:min(limit, len(page))], len(page) > limit
}

func (s *Service) visible(
	ctx context.Context, db postgres.DB, by auth.Actor, after int64, limit int,
) ([]Patient, error) {
	switch by.Role {
	case auth.Admin:
		return selectAfter(ctx, db, after, limit)
	case auth.Doctor:
		assigned, err := selectAssigned(ctx, db, by.ID, after, limit)
		if err != nil {
			return nil, err
		}
		treated, err := s.care.PatientsOf(ctx, db, by.ID, after, limit)
		if err != nil {
			return nil, err
		}
		ids := slices.Concat(assigned, treated)
		slices.Sort(ids)
		ids = slices.Compact(ids)
		return selectByIDs(ctx, db, ids[:min(limit, len(ids))])
	default:
		if by.ID <= after {
			return nil, nil
		}
		return selectByIDs(ctx, db, []int64{by.ID})
	}
}

// Seen returns those of the given entries that the actor may read (see Get), by id, in a constant number of
// statements (except for doctors with very many patients). Reading someone else's entry leaves an audit row.
func (s *Service) Seen(ctx context.Context, by auth.Actor, ids ...int64) (map[int64]Patient, error) {
	out := make(map[int64]Patient, len(ids))
	if len(ids) == 0 {
		return out, nil
	}
	err := s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		found, err := selectByIDs(ctx, tx, ids)
		if err != nil {
			return err
		}
		treated := map[int64]bool{}
		if by.Role == auth.Doctor {
			if treated, err = s.treated(ctx, tx, by.ID, slices.Min(ids), slices.Max(ids)); err != nil {
				return err
			}
		}
		var seen []Patient
		for _, p := range found {
			assigned := by.Role == auth.Doctor && p.Doctor != nil && p.Doctor.ID == by.ID
			if by.Role == auth.Admin || by.ID == p.ID || assigned || treated[p.ID] {
				seen = append(seen, p)
				out[p.ID] = p
			}
		}
		return recordList(ctx, tx, by, seen)
	})
	return out, err
}

// treatedPage is how many of a doctor's patients are requested at once.
const treatedPage = 1000

// treated returns a doctor's own patients by appointment with ids from first to last.
func (s *Service) treated(ctx context.Context, db postgres.DB, doctorID, first, last int64) (map[int64]bool, error) {
	out := map[int64]bool{}
	for after := first - 1; after < last; {
		ids, err := s.care.PatientsOf(ctx, db, doctorID, after, treatedPage)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			out[id], after = true, id
		}
		if len(ids) < treatedPage {
			break
		}
	}
	return out, nil
}

// recordList leaves an audit row for each entry on a page that is not the actor's own, so that a patient's trail also
// shows who has seen them in a list.
func recordList(ctx context.Context, db postgres.DB, by auth.Actor, page []Patient) error {
	var read []audit.Event
	for _, p := range page {
		if p.ID != by.ID {
			read = append(read, audit.Event{Actor: by, Action: "patient.list", Subject: p.UserID, PatientID: p.ID})
		}
	}
	return audit.Record(ctx, db, read...)
}

// Get returns an entry to admins, to the patient, and to doctors to whom the patient is assigned or whose own they
// are by appointment; others get errs.NotFound. Reading someone else's entry leaves an audit row.
func (s *Service) Get(ctx context.Context, by auth.Actor, publicID string) (Patient, error) {
	var p Patient
	err := s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		var err error
		if p, err = s.readable(ctx, tx, by, publicID); err != nil || p.ID == by.ID {
			return err
		}
		return record(ctx, tx, p, audit.Event{Actor: by, Action: "patient.read"})
	})
	return p, err
}

// readable resolves an entry that the actor may read.
func (s *Service) readable(ctx context.Context, db postgres.DB, by auth.Actor, publicID string) (Patient, error) {
	p, err := selectEntry(ctx, db, publicID)
	if err != nil {
		return Patient{}, err
	}
	if by.Role == auth.Admin || by.ID == p.ID {
		return p, nil
	}
	if by.Role == auth.Doctor {
		if p.Doctor != nil && p.Doctor.ID == by.ID {
			return p, nil
		}
		cares, err := s.care.CaresFor(ctx, db, by.ID, p.ID)
		if err != nil {
			return Patient{}, err
		}
		if cares {
			return p, nil
		}
	}
	return Patient{}, errs.Missing("patient")
}

// Change changes an entry's details, by compare-and-swap on its version. Only the patient and admins may call it:
// others get errs.NotFound, or errs.ErrForbidden if they are a doctor who may read the entry.
func (s *Service) Change(ctx context.Context, by auth.Actor, publicID string, version int, c Change) (Patient, error) {
	var p Patient
	err := s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		var err error
		if p, err = s.readable(ctx, tx, by, publicID); err != nil {
			return err
		}
		if by.Role != auth.Admin && by.ID != p.ID {
			return errs.ErrForbidden
		}
		// The row is locked before it is merged with the change, so that it cannot change in between.
		if p, err = selectEntryForUpdate(ctx, tx, publicID); err != nil {
			return err
		}
		d, err := c.apply(p.details(), tx.Now())
		if err != nil {
			return err
		}
		if d, err = d.normalize(tx.Now(), s.options.PhoneRegion); err != nil {
			return err
		}
		if err := updateDetails(ctx, tx, by, p.ID, version, d); err != nil {
			return err
		}
		if p, err = selectEntry(ctx, tx, publicID); err != nil {
			return err
		}
		return record(ctx, tx, p, audit.Event{Actor: by, Action: "patient.change"})
	})
	return p, err
}

// Assign sets a patient's assigned doctor, or none for "", by compare-and-swap on the entry's version; AnyVersion
// skips the comparison. Admins can assign any doctor. Doctors can only assign themselves and remove their own
// assignment; another doctor's id is errs.ErrForbidden.
func (s *Service) Assign(
	ctx context.Context, by auth.Actor, publicID string, version int, doctorPublicID string,
) (Patient, error) {
	if by.Role != auth.Admin && by.Role != auth.Doctor {
		return Patient{}, errs.ErrForbidden
	}
	if by.Role == auth.Doctor && doctorPublicID != "" && doctorPublicID != by.UserID {
		return Patient{}, errs.ErrForbidden
	}
	var p Patient
	err := s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		var err error
		if p, err = selectEntryForUpdate(ctx, tx, publicID); err != nil {
			return err
		}
		if by.Role == auth.Doctor && doctorPublicID == "" && (p.Doctor == nil || p.Doctor.ID != by.ID) {
			return errs.Missing("patient")
		}
		if version != AnyVersion && version != p.Version { // the row is locked, so this stays true
			return errs.ErrStale
		}
		if err := s.assignTo(ctx, tx, by, p.ID, doctorPublicID); err != nil {
			return err
		}
		if p, err = selectEntry(ctx, tx, publicID); err != nil {
			return err
		}
		return record(ctx, tx, p, audit.Event{
			Actor: by, Action: "patient.assign", Detail: map[string]any{"doctor": doctorPublicID},
		})
	})
	return p, err
}

func (s *Service) assignTo(
	ctx context.Context, tx *postgres.Tx, by auth.Actor, patientID int64, doctorPublicID string,
) error {
	if doctorPublicID == "" {
		return updateDoctor(ctx, tx, by, patientID, nil)
	}
	id, err := s.doctors.Find(ctx, tx, doctorPublicID)
	if errs.KindOf(err) == errs.NotFound {
		return errNoDoctor
	}
	if err != nil {
		return err
	}
	return updateDoctor(ctx, tx, by, patientID, &id)
}

// record writes an audit row about a patient.
func record(ctx context.Context, tx *postgres.Tx, p Patient, e audit.Event) error {
	e.Subject, e.PatientID = p.UserID, p.ID
	return audit.Record(ctx, tx, e)
}
