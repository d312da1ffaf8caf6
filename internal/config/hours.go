package config

import (
	"errors"
	"strings"

	"housecall/internal/walltime"
)

// Interval is a stretch of a day in minutes since midnight, wall time; From < To <= 1440.
type Interval struct{ From, To int }

// Hours are the intervals of a day, in ascending order.
type Hours []Interval

// UnmarshalText reads "10:00-14:00,14:30-18:00": ascending, not overlapping, 24:00 allowed as an end.
func (h *Hours) UnmarshalText(text []byte) error {
	var out Hours
	for part := range strings.SplitSeq(string(text), ",") {
		from, to, ok := strings.Cut(strings.TrimSpace(part), "-")
		if !ok {
			return errors.New("an interval needs a dash")
		}
		a, err := walltime.Parse(from)
		if err != nil {
			return err
		}
		b, err := walltime.Parse(to)
		if err != nil {
			return err
		}
		if a >= b || (len(out) > 0 && a < out[len(out)-1].To) {
			return errors.New("intervals must be in ascending order and not overlap")
		}
		out = append(out, Interval{From: a, To: b})
	}
	*h = out
	return nil
}
