package schedule

import "time"

// grid computes the slots of one date after another, whether or not they are free.
type grid struct {
	rules Rules
	zones []zonePeriod // for the last date; reused while it has one period that also covers the next date
	slots []Slot       // the last result of of
}

// of returns the slots of the hours that begin on a calendar day (midnight UTC), in order within each interval. A
// slot may start on the next date if its interval runs past midnight. The slice is valid until the next call.
func (g *grid) of(date time.Time) []Slot {
	hours := g.rules.hoursOn(date)
	if len(hours) == 0 {
		return nil
	}
	zones := g.around(date)
	opensAt := date.Add(minutes(g.rules.tail(date)))
	g.slots = g.slots[:0]
	for _, c := range hours {
		g.slots = g.rules.appendInterval(g.slots, c, date, opensAt, zones)
	}
	return g.slots
}

// around is periodsAround, but skips the lookup while the zone keeps its offset.
func (g *grid) around(date time.Time) []zonePeriod {
	if len(g.zones) == 1 && !g.zones[0].from.After(date.Add(-maxOffset)) && !g.zones[0].to.Before(date.Add(dateReach)) {
		return g.zones
	}
	g.zones = periodsAround(g.rules.Location, date)
	if len(g.zones) == 1 {
		from, to := date.In(g.rules.Location).ZoneBounds()
		if !from.IsZero() {
			g.zones[0].from = from.UTC()
		}
		if !to.IsZero() {
			g.zones[0].to = to.UTC()
		}
	}
	return g.zones
}

// appendInterval adds the slots of one interval on one date that start at the wall time notBefore or later.
func (r Rules) appendInterval(out []Slot, c Clock, date, notBefore time.Time, zones []zonePeriod) []Slot {
	length := minutes(r.SlotMinutes)
	opens, closes := date.Add(minutes(c.From)), date.Add(minutes(c.To)) // wall time written as if it were UTC
	anchor := opens
	if opens.Before(notBefore) {
		opens = notBefore
	}
	pieces := piecesOf(opens, closes, zones)
	var free time.Time // end of the previous slot, which wins if the clock change makes it overlap the next
	for i, p := range pieces {
		end := p.to
		for j := i + 1; j < len(pieces) && pieces[j].from.Equal(end); j++ {
			end = pieces[j].to
		}
		for wall := firstOnGrid(anchor, p.from.Add(p.offset), length); ; wall = wall.Add(length) {
			start := wall.Add(-p.offset)
			if !start.Before(p.to) {
				break
			}
			if start.Add(length).After(end) || start.Before(free) {
				continue
			}
			free = start.Add(length)
			out = append(out, Slot{StartsAt: start.In(r.Location), EndsAt: free.In(r.Location)})
		}
	}
	return out
}

// firstOnGrid returns the first wall time, at or after wall, of the grid that starts at anchor. wall must not be
// before anchor.
func firstOnGrid(anchor, wall time.Time, length time.Duration) time.Time {
	steps := int64((wall.Sub(anchor) + length - 1) / length)
	return anchor.Add(time.Duration(steps * int64(length)))
}

// zonePeriod is a period in which a zone keeps one offset from UTC.
type zonePeriod struct {
	from, to time.Time
	offset   time.Duration
}

// maxOffset is more than any zone's offset from UTC: they range from -12 h to +14 h, and a little further in the
// past. dateReach is the time from a date's midnight until its hours, which may run through the next date, are over
// in every zone.
const (
	maxOffset = 16 * time.Hour
	dateReach = 48*time.Hour + maxOffset
)

// periodsAround returns the periods that wall times of the date and the next date can fall into.
func periodsAround(loc *time.Location, date time.Time) []zonePeriod {
	var out []zonePeriod
	at, last := date.Add(-maxOffset), date.Add(dateReach)
	for at.Before(last) {
		local := at.In(loc)
		_, seconds := local.Zone()
		_, until := local.ZoneBounds()
		if until.IsZero() || until.After(last) {
			until = last
		}
		out = append(out, zonePeriod{from: at, to: until.UTC(), offset: time.Duration(seconds) * time.Second})
		at = until.UTC()
	}
	return out
}

// piecesOf returns the ranges of instants, in order, whose wall time is in [opens, closes): none if the clocks skip
// it, several if they go back.
func piecesOf(opens, closes time.Time, zones []zonePeriod) []zonePeriod {
	var out []zonePeriod
	for _, z := range zones {
		from, to := opens.Add(-z.offset), closes.Add(-z.offset)
		if from.Before(z.from) {
			from = z.from
		}
		if to.After(z.to) {
			to = z.to
		}
		if from.Before(to) {
			out = append(out, zonePeriod{from: from, to: to, offset: z.offset})
		}
	}
	return out
}
