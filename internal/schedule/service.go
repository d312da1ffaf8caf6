package schedule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"housecall/internal/errs"
	"housecall/internal/postgres"
)

// Service stores the doctors' hours and rules. Its callers must check rights.
type Service struct {
	o     Options
	hours []Interval // the clinic's, every day
	now   func() time.Time

	mu    sync.RWMutex              // guards zones
	zones map[string]*time.Location // by name: loading one reads a file
}

// Options are the clinic's defaults, for doctors who have set nothing else.
type Options struct {
	Zone        *time.Location // the clinic's
	SlotMinutes int
	Hours       []Clock       // of every day, in order and not overlapping
	Notice      time.Duration // the lead time
	Horizon     time.Duration // how far ahead bookings are possible; doctors cannot set more
}

// Deps are what a Service works with.
type Deps struct {
	Now     func() time.Time // nil: time.Now
	Options Options
}

// New returns a Service.
func New(d Deps) *Service {
	s := &Service{o: d.Options, now: d.Now, zones: map[string]*time.Location{}}
	if s.now == nil {
		s.now = time.Now
	}
	s.zones[s.o.Zone.String()] = s.o.Zone
	for weekday := 1; weekday <= 7; weekday++ {
		for _, v := range s.o.Hours {
			s.hours = append(s.hours, Interval{Weekday: weekday, From: v.From, To: v.To})
		}
	}
	return s
}

// slack is how long past exceptions are still returned. Their dates are in the doctor's zone, their last hours may
// run past midnight, and so may those of the day before, which delay the next day's.
const slack = 4 * 24 * time.Hour

// Rules returns the rules of each doctor, in one statement for all. A doctor who has changed nothing has the clinic's
// zone, slot length, lead time, horizon and hours, at version 1. So does an id that is not a doctor's: resolve ids
// first.
func (s *Service) Rules(ctx context.Context, db postgres.DB, doctorIDs ...int64) (map[int64]Rules, error) {
	out := make(map[int64]Rules, len(doctorIDs))
	if len(doctorIDs) == 0 {
		return out, nil
	}
	b := &postgres.Batch{}
	s.QueueRules(b, out, doctorIDs...)
	if err := postgres.Send(ctx, db, b); err != nil {
		return nil, err
	}
	return out, nil
}

// QueueRules is Rules as part of the caller's batch: into is filled once that has been sent.
func (s *Service) QueueRules(b *postgres.Batch, into map[int64]Rules, doctorIDs ...int64) {
	use := func(kept []scheduleRow) (err error) {
		for _, row := range kept {
			if into[row.DoctorID], err = s.fromRow(row); err != nil {
				return err
			}
		}
		for _, id := range doctorIDs {
			if _, ok := into[id]; !ok {
				into[id] = s.defaults(id)
			}
		}
		return nil
	}
	queueSchedules(b, use, doctorIDs, s.now().UTC().Add(-slack))
}

func (s *Service) fromRow(row scheduleRow) (Rules, error) {
	loc, err := s.location(row.TimeZone)
	if err != nil {
		// Not wrapped, because the error would be Invalid: a stored zone that does not load is not the client's
		// fault.
		return Rules{}, fmt.Errorf("load the schedule of doctor %d: its zone is unknown", row.DoctorID)
	}
	r := Rules{
		DoctorID: row.DoctorID, TimeZone: row.TimeZone, Location: loc, SlotMinutes: row.SlotMinutes,
		BufferBefore: minutes(row.BufferBefore), BufferAfter: minutes(row.BufferAfter),
		PerDay: row.PerDay, AutoConfirm: row.AutoConfirm,
		Hours: row.week(), CustomHours: row.CustomHours, Exceptions: row.exceptionList(), Version: row.Version,
	}
	r.Notice, r.Horizon = s.span(row.settings)
	if !r.CustomHours {
		r.Hours = slices.Clone(s.hours)
	}
	return r, nil
}

// span returns a doctor's lead time and horizon: the clinic's unless they have their own, and never beyond the
// clinic's horizon, which may have become shorter since.
func (s *Service) span(own settings) (lead, horizon time.Duration) {
	lead, horizon = s.o.Notice, s.o.Horizon
	if own.NoticeMinutes != nil {
		lead = minutes(*own.NoticeMinutes)
	}
	if own.HorizonMinutes != nil {
		horizon = min(horizon, minutes(*own.HorizonMinutes))
	}
	return lead, horizon
}

// SetHours replaces the weekly hours, by compare-and-swap on the version: errs.ErrStale if it is not expectVersion.
// Without any intervals the doctor takes no bookings. Booked appointments do not change.
func (s *Service) SetHours(
	ctx context.Context, tx *postgres.Tx, doctorID int64, expectVersion int, intervals []Interval,
) (Rules, error) {
	week, err := normalize(intervals)
	if err != nil {
		return Rules{}, err
	}
	if err := s.ensure(ctx, tx, doctorID); err != nil {
		return Rules{}, err
	}
	if err := replaceHours(ctx, tx, doctorID, expectVersion, week); err != nil {
		return Rules{}, err
	}
	return s.one(ctx, tx, doctorID)
}

// SetRules changes the booking rules, by compare-and-swap as in SetHours. Hours are wall time, so they
// keep their clock times in a new zone.
func (s *Service) SetRules(
	ctx context.Context, tx *postgres.Tx, doctorID int64, expectVersion int, c RuleChange,
) (Rules, error) {
	if err := s.validate(c); err != nil {
		return Rules{}, err
	}
	if err := s.ensure(ctx, tx, doctorID); err != nil {
		return Rules{}, err
	}
	own, version, err := lockSettings(ctx, tx, doctorID)
	if err != nil {
		return Rules{}, err
	}
	if version != expectVersion {
		return Rules{}, stale(doctorID)
	}
	own = c.apply(own)
	if lead, horizon := s.span(own); lead > horizon {
		if c.Notice == nil && c.Horizon != nil {
			return Rules{}, errs.InvalidField("body.horizonMinutes", "must not be shorter than noticeMinutes")
		}
		return Rules{}, errs.InvalidField("body.noticeMinutes", "must not be longer than horizonMinutes")
	}
	if err := updateRules(ctx, tx, doctorID, expectVersion, own); err != nil {
		return Rules{}, err
	}
	return s.one(ctx, tx, doctorID)
}

// Period is a range of dates, inclusive; a zero end is open.
type Period struct{ From, To time.Time }

// Position is an exception's place in the list, which is sorted by first date and id.
type Position struct {
	From time.Time
	ID   string // a UUID; "" with the zero From: the start
}

// ExceptionQuery asks for a page of a doctor's exceptions: up to Limit of those with a date in the Period, after a
// position.
type ExceptionQuery struct {
	Period
	After Position
	Limit int
}

// Exceptions returns a page of a doctor's exceptions, and whether there are more.
func (s *Service) Exceptions(
	ctx context.Context, db postgres.DB, doctorID int64, q ExceptionQuery,
) (page []Exception, more bool, err error) {
	if q.After.ID != "" && !isUUID(q.After.ID) {
		return nil, false, errs.InvalidField("query.cursor", "is not a cursor of this list")
	}
	limit := q.Limit
	q.Limit++ // one extra shows whether there are more
	rows, err := selectExceptions(ctx, db, doctorID, q)
	if err != nil {
		return nil, false, err
	}
	for _, row := range rows {
		page = row.appendTo(page)
	}
	if more = len(page) > limit; more {
		page = page[:limit]
	}
	return page, more, nil
}

// AddException adds an exception, gives it an ID, and increases the version. Booked appointments do not change.
// Refusals: 422 if it is out of bounds or entirely in the past, 409 exception_overlap for other hours on a date that
// already has some, 409 exception_limit.
func (s *Service) AddException(
	ctx context.Context, tx *postgres.Tx, doctorID int64, e Exception,
) (Exception, Rules, error) {
	e, err := e.normalize()
	if err != nil {
		return Exception{}, Rules{}, err
	}
	if err := s.ensure(ctx, tx, doctorID); err != nil {
		return Exception{}, Rules{}, err
	}
	own, err := bump(ctx, tx, doctorID)
	if err != nil {
		return Exception{}, Rules{}, err
	}
	loc, err := s.location(own.TimeZone)
	if err != nil {
		return Exception{}, Rules{}, fmt.Errorf("add an exception for doctor %d: the zone is unknown", doctorID)
	}
	today := dateOf(s.now().In(loc))
	if e.To.Before(today) {
		return Exception{}, Rules{}, errs.InvalidField("body.to",
			"must not be in the past; it defaults to from")
	}
	ahead, err := countExceptions(ctx, tx, doctorID, today)
	if err != nil {
		return Exception{}, Rules{}, err
	}
	if ahead >= MaxExceptions {
		return Exception{}, Rules{}, errs.New(errs.Conflict, "exception_limit",
			"There are already 400 upcoming exceptions. Remove some, or combine several into one.").With("limit", MaxExceptions)
	}
	if e, err = insertException(ctx, tx, doctorID, e); err != nil {
		return Exception{}, Rules{}, err
	}
	r, err := s.one(ctx, tx, doctorID)
	return e, r, err
}

// RemoveException removes an exception and increases the version; errs.NotFound if the doctor has none with that id.
func (s *Service) RemoveException(ctx context.Context, tx *postgres.Tx, doctorID int64, id string) (Rules, error) {
	if !isUUID(id) {
		return Rules{}, errs.Missing("exception")
	}
	if _, err := bump(ctx, tx, doctorID); errors.Is(err, postgres.ErrNoRows) {
		return Rules{}, errs.Missing("exception")
	} else if err != nil {
		return Rules{}, err
	}
	if err := deleteException(ctx, tx, doctorID, id); err != nil {
		return Rules{}, err
	}
	return s.one(ctx, tx, doctorID)
}

// ensure creates the row that a first change needs, at FirstVersion.
func (s *Service) ensure(ctx context.Context, tx *postgres.Tx, doctorID int64) error {
	return insertDefaults(ctx, tx, s.defaults(doctorID))
}

func (s *Service) one(ctx context.Context, tx *postgres.Tx, doctorID int64) (Rules, error) {
	all, err := s.Rules(ctx, tx, doctorID)
	return all[doctorID], err
}

func (s *Service) defaults(doctorID int64) Rules {
	return Rules{
		DoctorID: doctorID, TimeZone: s.o.Zone.String(), Location: s.o.Zone, SlotMinutes: s.o.SlotMinutes,
		Notice: s.o.Notice, Horizon: s.o.Horizon, Hours: slices.Clone(s.hours), Version: FirstVersion,
	}
}

func (s *Service) location(name string) (*time.Location, error) {
	s.mu.RLock()
	loc, ok := s.zones[name]
	s.mu.RUnlock()
	if ok {
		return loc, nil
	}
	loc, err := LoadZone(name)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zones[name] = loc
	return loc, nil
}

// stale is the error for a compare-and-swap that matched no row.
func stale(doctorID int64) error {
	return fmt.Errorf("change the schedule of doctor %d: %w", doctorID, errs.ErrStale)
}
