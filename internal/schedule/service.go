package schedule

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"housecall/internal/config"
	"housecall/internal/errs"
	"housecall/internal/postgres"
)

// Service keeps the doctors' hours and rules. It checks no rights: its callers do.
type Service struct {
	zone        string
	slotMinutes int
	hours       []Interval // the clinic's, every day

	mu    sync.RWMutex              // guards zones
	zones map[string]*time.Location // by name: loading one reads a file
}

// New takes the clinic's zone, slot length and hours from the configuration.
func New(cfg config.Config) (*Service, error) {
	s := &Service{zone: cfg.ClinicZone, slotMinutes: cfg.ClinicSlotMinutes, zones: map[string]*time.Location{}}
	if _, err := s.location(cfg.ClinicZone); err != nil {
		return nil, fmt.Errorf("load the clinic's zone: %w", err)
	}
	if err := ValidateSlotMinutes(cfg.ClinicSlotMinutes); err != nil {
		return nil, fmt.Errorf("check the clinic's slot length: %w", err)
	}
	day, err := config.ParseHours(cfg.ClinicHours)
	if err != nil {
		return nil, fmt.Errorf("read the clinic's hours: %w", err)
	}
	for weekday := 1; weekday <= 7; weekday++ {
		for _, v := range day {
			s.hours = append(s.hours, Interval{Weekday: weekday, From: v.From, To: v.To})
		}
	}
	return s, nil
}

// Rules gives the rules of each doctor, in one statement however many they are. A doctor who has changed
// nothing has the clinic's zone, slot length and hours at version 1; so has an id that is no doctor's, so
// resolve ids first.
func (s *Service) Rules(ctx context.Context, db postgres.DB, doctorIDs ...int64) (map[int64]Rules, error) {
	out := make(map[int64]Rules, len(doctorIDs))
	if len(doctorIDs) == 0 {
		return out, nil
	}
	kept, err := selectSchedules(ctx, db, doctorIDs)
	if err != nil {
		return nil, err
	}
	for _, row := range kept {
		r, ok := out[row.DoctorID]
		if !ok {
			if r, err = s.fromRow(row); err != nil {
				return nil, err
			}
		}
		if r.CustomHours && row.Weekday != nil {
			r.Hours = append(r.Hours, Interval{Weekday: *row.Weekday, From: *row.Starts, To: *row.Ends})
		}
		out[row.DoctorID] = r
	}
	for _, id := range doctorIDs {
		if _, ok := out[id]; !ok {
			out[id] = s.defaults(id)
		}
	}
	return out, nil
}

func (s *Service) fromRow(row scheduleRow) (Rules, error) {
	loc, err := s.location(row.TimeZone)
	if err != nil {
		// Not wrapped: that a zone was stored which does not load is not the client's fault, so not Invalid.
		return Rules{}, fmt.Errorf("load the schedule of doctor %d: its zone is unknown", row.DoctorID)
	}
	r := Rules{
		DoctorID: row.DoctorID, TimeZone: row.TimeZone, Location: loc, SlotMinutes: row.SlotMinutes,
		CustomHours: row.CustomHours, Version: row.Version,
	}
	if !r.CustomHours {
		r.Hours = slices.Clone(s.hours)
	}
	return r, nil
}

// SetHours replaces the weekly hours, by compare-and-swap on the version: errs.ErrStale if it is not
// expectVersion. No intervals at all is a doctor who takes no bookings. Booked appointments stay as they are.
func (s *Service) SetHours(ctx context.Context, tx *postgres.Tx, doctorID int64, expectVersion int, intervals []Interval) (Rules, error) {
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

// SetRules changes zone and slot length, by compare-and-swap as in SetHours. Hours are wall time, so they
// keep their clock times in the new zone.
func (s *Service) SetRules(ctx context.Context, tx *postgres.Tx, doctorID int64, expectVersion int, timeZone string, slotMinutes int) (Rules, error) {
	if _, err := s.location(timeZone); err != nil {
		return Rules{}, err
	}
	if err := ValidateSlotMinutes(slotMinutes); err != nil {
		return Rules{}, err
	}
	if err := s.ensure(ctx, tx, doctorID); err != nil {
		return Rules{}, err
	}
	if err := updateRules(ctx, tx, doctorID, expectVersion, timeZone, slotMinutes); err != nil {
		return Rules{}, err
	}
	return s.one(ctx, tx, doctorID)
}

// Defaults gives the clinic's zone and slot length.
func (s *Service) Defaults() (timeZone string, slotMinutes int) { return s.zone, s.slotMinutes }

// ensure makes the row that a first change needs, at the version that its absence stands for.
func (s *Service) ensure(ctx context.Context, tx *postgres.Tx, doctorID int64) error {
	return insertDefaults(ctx, tx, s.defaults(doctorID))
}

func (s *Service) one(ctx context.Context, tx *postgres.Tx, doctorID int64) (Rules, error) {
	all, err := s.Rules(ctx, tx, doctorID)
	return all[doctorID], err
}

func (s *Service) defaults(doctorID int64) Rules {
	loc, _ := s.location(s.zone) // loaded once by New
	return Rules{
		DoctorID: doctorID, TimeZone: s.zone, Location: loc, SlotMinutes: s.slotMinutes,
		Hours: slices.Clone(s.hours), Version: FirstVersion,
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

// stale is what a compare-and-swap that met no row means.
func stale(doctorID int64) error {
	return fmt.Errorf("change the schedule of doctor %d: %w", doctorID, errs.ErrStale)
}
