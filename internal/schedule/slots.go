package schedule

import (
	"slices"
	"time"
)

// Query asks for free slots that start in [From, To); a zero To means the horizon. Blocked are the doctor's taken
// ranges with buffers, Busy the patient's without. Starts are the starts of the doctor's appointments on all dates of
// the query (see DayRange); only Rules.PerDay needs them.
type Query struct {
	From, To, Now time.Time
	Blocked, Busy []Range
	Starts        []time.Time
}

// Slots returns the free slots in order, in the doctor's zone. The grid is wall time: in each interval of each date
// it starts at the interval's start and steps by the slot length, so a clock change does not shift it. A wall time
// that the clocks skip has no slot; one that they show twice has two, an hour apart. A slot always lasts SlotMinutes
// of real time, lies within its interval, and overlaps no other slot. It is free if it starts from now+Notice to
// now+Horizon, its Rules.Blocks overlaps none of Blocked, it overlaps none of Busy, and fewer than PerDay of Starts
// are on its date.
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

// First returns the first of Slots, without computing the others.
func First(r Rules, q Query) (first Slot, ok bool) {
	s := newSearch(r, q)
	for date := s.firstDate(); !s.past(date); date = date.AddDate(0, 0, 1) {
		for _, slot := range s.grid.of(date) {
			if s.free(slot) {
				first, ok = slot, true
				s.to = slot.StartsAt // from here on, look only for an earlier one
			}
		}
	}
	return first, ok
}

// Contains reports whether a slot of the grid starts at an instant, and when it ends. The slot may be taken or in the
// past.
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

// search is a Query prepared for checking one slot after another.
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

// firstDate is the first date whose hours can have a slot in the search: hours may reach into the next date, and a
// zone may repeat the end of a day after midnight.
func (s *search) firstDate() time.Time { return s.rules.DateOf(s.from).AddDate(0, 0, -2) }

// past reports whether neither the date's hours nor those of later dates can have a slot in the search.
func (s *search) past(date time.Time) bool {
	return !s.from.Before(s.to) || date.After(s.rules.DateOf(s.to).AddDate(0, 0, 1))
}

func (s *search) free(slot Slot) bool {
	return !slot.StartsAt.Before(s.from) && slot.StartsAt.Before(s.to) &&
		!touches(s.blocked, s.rules.Blocks(slot)) && !touches(s.busy, Range{From: slot.StartsAt, To: slot.EndsAt}) &&
		(s.rules.PerDay == 0 || s.perDate[s.rules.DateOf(slot.StartsAt)] < s.rules.PerDay)
}

// merge returns the ranges sorted and without overlaps or empty ones.
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

// touches reports whether the range overlaps one of the merged ranges.
func touches(taken []Range, r Range) bool {
	i, _ := slices.BinarySearchFunc(taken, r.From, func(t Range, at time.Time) int {
		if t.To.After(at) {
			return 1
		}
		return -1
	})
	return i < len(taken) && taken[i].From.Before(r.To)
}
