// Package calendar puts appointments into calendars: as messages to the participants (iTIP, RFC 5546), and as a feed
// that a calendar program reads by itself at a secret address (iCalendar, RFC 5545). A feed says when appointments
// are, never with whom or why: whoever has its address learns nothing about anybody's health.
package calendar

import (
	"cmp"
	"context"
	"slices"
	"time"

	"housecall/internal/appointment"
)

// Appointments returns the appointments for feeds.
type Appointments interface {
	// Between returns up to limit appointments of the user, as patient or doctor, that start in [from, to): those that
	// are booked, and those that were until they ended.
	Between(ctx context.Context, userID int64, from, to time.Time, limit int) ([]Appointment, error)
}

// Links makes the addresses of pages.
type Links interface {
	// Appointment shows one appointment to those who take part in it, once they have signed in.
	Appointment(publicID string) string
}

// Appointment is what a feed knows about one.
type Appointment struct {
	PublicID         string // APP…
	Version          int
	Status           appointment.Status // one that a feed does not show is left out
	StartsAt, EndsAt time.Time
	UpdatedAt        time.Time
}

// shown are the statuses that a feed shows. A cancelled appointment is left out, so that programs remove its event:
// some ignore STATUS, and would show one that is marked as cancelled as if it took place.
var shown = []appointment.Status{appointment.Booked, appointment.Completed, appointment.NoShow}

// Statuses are those that a feed shows, in order.
func Statuses() []appointment.Status { return slices.Sorted(slices.Values(shown)) }

// Party is the organizer of an event or somebody who attends it.
type Party struct{ Name, Email string }

// Event is one event of a message or a feed.
type Event struct {
	// UID identifies the event through all its changes; see UID.
	UID string
	// Sequence grows with every change (RFC 5545, 3.8.7.4): the appointment's version.
	Sequence int
	// Stamp is when the event last changed.
	Stamp time.Time
	// StartsAt and EndsAt are written in UTC, to the second: every program shows them in its user's own zone.
	StartsAt, EndsAt time.Time
	// Summary and Description are what people read. Both leave the clinic: the caller must decide what they may contain.
	Summary, Description string
	// URL leads to more information; "" for none.
	URL string
	// Organizer is the clinic.
	Organizer Party
	// Attendees appear in messages only.
	Attendees []Party
	// Cancelled also stands before the summary: some programs ignore STATUS.
	Cancelled bool
}

// UID is the UID of an appointment's event, the same in messages and feeds.
func UID(appointmentID string) string { return appointmentID + "@housecall" }

// Link is a feed as its owner sees it. The secret is not in it.
type Link struct {
	CreatedAt  time.Time
	LastReadAt *time.Time // accurate to about a minute; nil if it was never read
}

// Document is a feed as it is now, with its validators (RFC 9110, 8.8). LastModified is zero while it would lie in the
// future.
type Document struct {
	Content      []byte
	ETag         string
	LastModified time.Time
}

// summary is all that a feed says about an appointment.
const summary = "Appointment"

// nearest returns the limit appointments that matter most: those to come, the next first, and then those that are over,
// the last first.
func nearest(all []Appointment, now time.Time, limit int) []Appointment {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b Appointment) int {
		over, too := a.EndsAt.Before(now), b.EndsAt.Before(now)
		switch {
		case over != too && over:
			return 1
		case over != too:
			return -1
		case over:
			return b.StartsAt.Compare(a.StartsAt)
		default:
			return a.StartsAt.Compare(b.StartsAt)
		}
	})
	return all[:min(limit, len(all))]
}

// events makes a feed's events, sorted by time, from the appointments that it shows.
func events(all []Appointment, organizer Party, links Links) []Event {
	out := make([]Event, 0, len(all))
	for _, a := range all {
		if !slices.Contains(shown, a.Status) {
			continue
		}
		out = append(out, Event{
			UID: UID(a.PublicID), Sequence: a.Version, Stamp: a.UpdatedAt, StartsAt: a.StartsAt, EndsAt: a.EndsAt,
			Summary: summary, URL: links.Appointment(a.PublicID), Organizer: organizer,
		})
	}
	slices.SortFunc(out, func(a, b Event) int {
		return cmp.Or(a.StartsAt.Compare(b.StartsAt), cmp.Compare(a.UID, b.UID))
	})
	return out
}
