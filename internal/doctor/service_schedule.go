package doctor

import (
	"context"

	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/postgres"
	"housecall/internal/schedule"
)

// Rules returns an active doctor's hours and booking rules.
func (s *Service) Rules(ctx context.Context, publicID string) (schedule.Rules, error) {
	id, err := s.Find(ctx, s.pool, publicID)
	if err != nil {
		return schedule.Rules{}, err
	}
	all, err := s.schedules.Rules(ctx, s.pool, id)
	return all[id], err
}

// SetHours replaces the weekly hours; rights and version as in Change.
func (s *Service) SetHours(
	ctx context.Context, by auth.Actor, publicID string, version int, week []schedule.Interval,
) (schedule.Rules, error) {
	e := audit.Event{Actor: by, Action: "doctor.hours", Subject: publicID}
	return s.reschedule(ctx, e, func(tx *postgres.Tx, id int64) (schedule.Rules, error) {
		return s.schedules.SetHours(ctx, tx, id, version, week)
	})
}

// SetRules changes the booking rules; rights and version as in Change.
func (s *Service) SetRules(
	ctx context.Context, by auth.Actor, publicID string, version int, c schedule.RuleChange,
) (schedule.Rules, error) {
	e := audit.Event{Actor: by, Action: "doctor.rules", Subject: publicID}
	return s.reschedule(ctx, e, func(tx *postgres.Tx, id int64) (schedule.Rules, error) {
		return s.schedules.SetRules(ctx, tx, id, version, c)
	})
}

// Exceptions lists an active doctor's exceptions like schedule.Service.Exceptions; only the doctor and admins see the
// notes.
func (s *Service) Exceptions(
	ctx context.Context, by auth.Actor, publicID string, q schedule.ExceptionQuery,
) (page []schedule.Exception, more bool, err error) {
	id, err := s.Find(ctx, s.pool, publicID)
	if err != nil {
		return nil, false, err
	}
	page, more, err = s.schedules.Exceptions(ctx, s.pool, id, q)
	if by.Role != auth.Admin && by.ID != id {
		for i := range page {
			page[i].Note = ""
		}
	}
	return page, more, err
}

// AddException adds an exception to the weekly hours; rights as in Change.
func (s *Service) AddException(
	ctx context.Context, by auth.Actor, publicID string, draft schedule.Exception,
) (made schedule.Exception, r schedule.Rules, err error) {
	detail := map[string]any{}
	e := audit.Event{Actor: by, Action: "doctor.add_exception", Subject: publicID, Detail: detail}
	r, err = s.reschedule(ctx, e, func(tx *postgres.Tx, id int64) (r schedule.Rules, err error) {
		made, r, err = s.schedules.AddException(ctx, tx, id, draft)
		detail["exception"] = made.ID
		return r, err
	})
	return made, r, err
}

// RemoveException removes an exception; rights as in Change. Another doctor's exception is errs.NotFound.
func (s *Service) RemoveException(ctx context.Context, by auth.Actor, publicID, id string) (schedule.Rules, error) {
	e := audit.Event{
		Actor: by, Action: "doctor.remove_exception", Subject: publicID, Detail: map[string]any{"exception": id},
	}
	return s.reschedule(ctx, e, func(tx *postgres.Tx, doctorID int64) (schedule.Rules, error) {
		return s.schedules.RemoveException(ctx, tx, doctorID, id)
	})
}

// reschedule changes the schedule under the doctor's lock, so that no booking sees a partial change, and records e.
func (s *Service) reschedule(
	ctx context.Context, e audit.Event, change func(tx *postgres.Tx, id int64) (schedule.Rules, error),
) (schedule.Rules, error) {
	var r schedule.Rules
	err := s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		d, err := s.mine(ctx, tx, e.Actor, e.Subject)
		if err != nil {
			return err
		}
		if r, err = change(tx, d.ID); err != nil {
			return err
		}
		return audit.Record(ctx, tx, e)
	})
	return r, err
}
