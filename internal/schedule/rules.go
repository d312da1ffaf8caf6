package schedule

import (
	"errors"
	"fmt"
	"time"

	"housecall/internal/errs"
)

// RuleChange is a change of the booking rules: nil leaves a rule as it is.
type RuleChange struct {
	TimeZone                  *string
	SlotMinutes               *int
	BufferBefore, BufferAfter *time.Duration
	Notice, Horizon           *time.Duration
	PerDay                    *int
	AutoConfirm               *bool
}

// apply returns the settings after the change.
func (c RuleChange) apply(s settings) settings {
	set(&s.TimeZone, c.TimeZone)
	set(&s.SlotMinutes, c.SlotMinutes)
	set(&s.BufferBefore, inMinutes(c.BufferBefore))
	set(&s.BufferAfter, inMinutes(c.BufferAfter))
	set(&s.PerDay, c.PerDay)
	set(&s.AutoConfirm, c.AutoConfirm)
	if c.Notice != nil {
		s.NoticeMinutes = inMinutes(c.Notice)
	}
	if c.Horizon != nil {
		s.HorizonMinutes = inMinutes(c.Horizon)
	}
	return s
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

func inMinutes(d *time.Duration) *int {
	if d == nil {
		return nil
	}
	n := int(*d / time.Minute)
	return &n
}

func fieldsOf(err error) []errs.Field {
	var e *errs.Error
	if errors.As(err, &e) {
		return e.Fields
	}
	return nil
}

// validate returns an error that names every rule that is out of bounds.
func (s *Service) validate(c RuleChange) error {
	var bad []errs.Field
	refuse := func(path, message string) {
		bad = append(bad, errs.Field{Path: "body." + path, Message: message})
	}
	if c.TimeZone != nil {
		if _, err := s.location(*c.TimeZone); err != nil {
			bad = append(bad, fieldsOf(err)...)
		}
	}
	if c.SlotMinutes != nil {
		bad = append(bad, fieldsOf(ValidateSlotMinutes(*c.SlotMinutes))...)
	}
	for _, d := range []struct {
		path        string
		value       *time.Duration
		least, most time.Duration
	}{
		{"bufferBeforeMinutes", c.BufferBefore, 0, MaxBuffer},
		{"bufferAfterMinutes", c.BufferAfter, 0, MaxBuffer},
		{"noticeMinutes", c.Notice, 0, MaxNotice},
		{"horizonMinutes", c.Horizon, MinHorizon, s.o.Horizon},
	} {
		if d.value != nil && (*d.value < d.least || *d.value > d.most || *d.value%time.Minute != 0) {
			refuse(d.path, fmt.Sprintf("must be between %d and %d minutes", d.least/time.Minute, d.most/time.Minute))
		}
	}
	if c.PerDay != nil && (*c.PerDay < 0 || *c.PerDay > MaxPerDay) {
		refuse("perDay", "must be between 0 (no limit) and 200")
	}
	if len(bad) > 0 {
		return errs.InvalidFields(bad...)
	}
	return nil
}
