package schedule

import (
	"slices"
	"time"
)

// Query is a question for free slots that start in [From, To); a zero To is the end of what can be booked. Blocked are
// the doctor's taken ranges, buffers included, Busy those of the patient, without. Starts are when the doctor's
// appointments start on the dates asked about, those of DayRange; they matter where Rules.PerDay does.
type Query struct {
	From, To, Now time.Time
	Blocked, Busy []Range
	Starts        []time.Time
}

// Slots gives the free slots, rising, each in the doctor's zone. The grid is wall time: in each interval of each date
// it is anchored at the interval's start and steps by the slot length, so a clock change does not shift it. A wall time
// that the clocks skip gives no slot; one that they show twice gives two, an hour apart. A slot always lasts
// SlotMinutes of real time, lies wholly within its interval, and overlaps no other. It is free if it starts from
// now+Notice to now+Horizon, Rules.Blocks of it touches none of Blocked and it itself none of Busy, and fewer than
// PerDay of Starts fall on the date on which it starts.
func Slots(r Rules, q Query) []Slot {
	s := newSearch(r, q)
	var out []Slot
	for date := s.firstDate(); !s.past(date); date = date.AddDate(0, 0, 1) {
		for _, slot := range s.grid.of(date) {
			if s.free(slot) {
				out = append(out, slot)
			}
		}
	}
	slices.SortFunc(out, func(a, b Slot) int { return a.StartsAt.Compare(b.StartsAt) })
	return out
}

// First gives the first of Slots, and looks no further than it must.
func First(r Rules, q Query) (first Slot, ok bool) {
	s := newSearch(r, q)
	for date := s.firstDate(); !s.past(date); date = date.AddDate(0, 0, 1) {
		for _, slot := range s.grid.of(date) {
			if s.free(slot) {
				first, ok = slot, true
				s.to = slot.StartsAt // only an earlier one is better
			}
		}
	}
	return first, ok
}

// Contains tells whether a slot of the grid starts at that instant, and when it ends. It asks neither whether
// the slot is free nor whether it is past.
func Contains(r Rules, startsAt time.Time) (endsAt time.Time, ok bool) {
	g := grid{rules: r}
	date := r.DateOf(startsAt)
	for _, owner := range []time.Time{date.AddDate(0, 0, -1), date} {
		for _, s := range g.of(owner) {
			if s.StartsAt.Equal(startsAt) {
				return s.EndsAt, true
			}
		}
	}
	return time.Time{}, false
}

// search is a Query made ready for looking at one slot after the other.
type search struct {
	rules         Rules
	grid          grid
	from, to      time.Time // of starts, half open
	blocked, busy []Range   // merged
	perDate       map[time.Time]int
}

func newSearch(r Rules, q Query) *search {
	s := &search{
		rules: r, grid: grid{rules: r}, from: q.From, to: q.To,
		blocked: merge(q.Blocked), busy: merge(q.Busy),
	}
	if earliest := q.Now.Add(r.Notice); s.from.Before(earliest) {
		s.from = earliest
	}
	if end := q.Now.Add(r.Horizon).Add(time.Nanosecond); s.to.IsZero() || s.to.After(end) {
		s.to = end
	}
	if r.PerDay > 0 {
		s.perDate = make(map[time.Time]int)
		for _, at := range q.Starts {
			s.perDate[r.DateOf(at)]++
		}
	}
	return s
}

// firstDate is the first whose hours can have a slot in the search: they may reach into the next date, and a zone may
// repeat the end of a day after midnight.
func (s *search) firstDate() time.Time { return s.rules.DateOf(s.from).AddDate(0, 0, -2) }

// past tells whether neither the date's hours nor those of a later one have a slot in the search.
func (s *search) past(date time.Time) bool {
	return !s.from.Before(s.to) || date.After(s.rules.DateOf(s.to).AddDate(0, 0, 1))
}

func (s *search) free(slot Slot) bool {
	return !slot.StartsAt.Before(s.from) && slot.StartsAt.Before(s.to) &&
		!touches(s.blocked, s.rules.Blocks(slot)) && !touches(s.busy, Range{From: slot.StartsAt, To: slot.EndsAt}) &&
		(s.rules.PerDay == 0 || s.perDate[s.rules.DateOf(slot.StartsAt)] < s.rules.PerDay)
}

// merge gives the ranges sorted and without overlaps; empty ones are left out.
func merge(ranges []Range) []Range {
	sorted := slices.Clone(ranges)
	slices.SortFunc(sorted, func(a, b Range) int { return a.From.Compare(b.From) })
	out := sorted[:0]
	for _, b := range sorted {
		switch n := len(out); {
		case !b.From.Before(b.To):
		case n > 0 && !b.From.After(out[n-1].To):
			if b.To.After(out[n-1].To) {
				out[n-1].To = b.To
			}
		default:
			out = append(out, b)
		}
	}
	return out
}

// touches tells whether the range overlaps one of the merged ranges.
func touches(taken []Range, r Range) bool {
	i, _ := slices.BinarySearchFunc(taken, r.From, func(t Range, at time.Time) int {
		if t.To.After(at) {
			return 1
		}
		return -1
	})
	return i < len(taken) && taken[i].From.Before(r.To)
}
