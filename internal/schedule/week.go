package schedule

import (
	"cmp"
	"fmt"
	"slices"

	"housecall/internal/errs"
)

// normalize returns the intervals in order, or says what is wrong with each that cannot be. A week goes round: what
// begins on Sunday may reach into Monday, and must not meet what begins there.
func normalize(in []Interval) ([]Interval, error) {
	var perDay [8]int
	var bad []errs.Field
	for i, v := range in {
		if v.Weekday < 1 || v.Weekday > 7 {
			bad = append(bad, intervalField(i, "weekday", "must be between 1 (Monday) and 7 (Sunday)"))
		} else if perDay[v.Weekday]++; perDay[v.Weekday] > MaxIntervalsPerDay {
			bad = append(bad, intervalField(i, "weekday", "has more than 10 intervals"))
		}
		if field, message := (Clock{v.From, v.To}).problem(); field != "" {
			bad = append(bad, intervalField(i, field, message))
		}
	}
	if len(bad) > 0 {
		return nil, errs.InvalidFields(bad...)
	}
	order := inOrder(in, func(v Interval) int { return v.begins() })
	out := make([]Interval, len(in))
	for i, from := range order {
		out[i] = in[from]
		if i > 0 && out[i].begins() < out[i-1].ends() {
			bad = append(bad, intervalField(from, "from", "overlaps another interval"))
		}
	}
	if len(bad) > 0 {
		return nil, errs.InvalidFields(bad...)
	}
	if n := len(out); n > 0 && out[n-1].ends() > out[0].begins()+7*minutesPerDay {
		return nil, badInterval(order[0], "from", "overlaps another interval")
	}
	return out, nil
}

// begins is where the interval begins in the week, in minutes since Monday's midnight; ends may lie past its end.
func (v Interval) begins() int { return (v.Weekday-1)*minutesPerDay + v.From }
func (v Interval) ends() int   { return (v.Weekday-1)*minutesPerDay + v.To }

// problem says which end is wrong, and how; "" if none is.
func (c Clock) problem() (field, message string) {
	switch {
	case c.From < 0 || c.From >= minutesPerDay:
		return "from", "must be between 00:00 and 23:59"
	case c.To <= c.From:
		return "to", "must be later than from"
	case c.To > c.From+minutesPerDay:
		return "to", "must be at most 24 hours after from"
	}
	return "", ""
}

// inOrder returns all indices, sorted by key.
func inOrder[T any](all []T, key func(T) int) []int {
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(key(all[a]), key(all[b])) })
	return order
}

func badInterval(i int, field, message string) error {
	return errs.InvalidFields(intervalField(i, field, message))
}

func intervalField(i int, field, message string) errs.Field {
	return errs.Field{Path: fmt.Sprintf("body.intervals[%d].%s", i, field), Message: message}
}
