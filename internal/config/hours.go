package config

import (
	"errors"
	"fmt"
	"strings"
)

// Interval is a stretch of a day in minutes since midnight, wall time; From < To <= 1440.
type Interval struct{ From, To int }

// ParseHours reads "10:00-14:00,14:30-18:00": rising, not overlapping, 24:00 allowed as an end.
func ParseHours(s string) ([]Interval, error) {
	var out []Interval
	for part := range strings.SplitSeq(s, ",") {
		from, to, ok := strings.Cut(strings.TrimSpace(part), "-")
		if !ok {
			return nil, errors.New("an interval needs a dash")
		}
		a, err := ParseClock(from)
		if err != nil {
			return nil, err
		}
		b, err := ParseClock(to)
		if err != nil {
			return nil, err
		}
		if a >= b || (len(out) > 0 && a < out[len(out)-1].To) {
			return nil, errors.New("intervals must rise and not overlap")
		}
		out = append(out, Interval{From: a, To: b})
	}
	return out, nil
}

// ParseClock reads a wall time "HH:MM" as minutes since midnight, 24:00 included.
func ParseClock(s string) (int, error) {
	if len(s) != 5 || s[2] != ':' {
		return 0, errors.New("a time must look like 09:30")
	}
	var n [4]int
	for i, at := range []int{0, 1, 3, 4} {
		if s[at] < '0' || s[at] > '9' {
			return 0, errors.New("a time must look like 09:30")
		}
		n[i] = int(s[at] - '0')
	}
	h, m := n[0]*10+n[1], n[2]*10+n[3]
	if m > 59 || h*60+m > 24*60 {
		return 0, errors.New("a time must lie between 00:00 and 24:00")
	}
	return h*60 + m, nil
}

// FormatClock writes minutes since midnight as "HH:MM".
func FormatClock(minutes int) string { return fmt.Sprintf("%02d:%02d", minutes/60, minutes%60) }
