// Package calendar puts appointments into calendars: as messages to the participants (iTIP, RFC 5546), and as a feed
// that a calendar program reads by itself at a secret address (iCalendar, RFC 5545). A feed says when appointments
// are, never with whom or why: whoever has its address learns nothing about anybody's health.
package calendar

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"housecall/internal/appointment"
)

// Appointments returns the appointments for feeds.
type Appointments interface {
	// Between returns up to limit appointments of the user, as patient or doctor, that start in [from, to): those that
	// are booked, those that were until they ended, and those that were cancelled.
	Between(ctx context.Context, userID int64, from, to time.Time, limit int) ([]Appointment, error)
}

// Appointment is what a feed knows about one.
type Appointment struct {
	PublicID         string // APP…
	Version          int
	Status           appointment.Status // one that a feed does not show is left out
	StartsAt, EndsAt time.Time
	UpdatedAt        time.Time
}

// shown says which statuses a feed shows, and which of them as cancelled, so that calendar programs remove the event
// instead of keeping what they saw before.
var shown = map[appointment.Status]struct{ cancelled bool }{
	appointment.Booked:    {},
	appointment.Completed: {},
	appointment.NoShow:    {},
	appointment.Cancelled: {cancelled: true},
}

// Statuses are those that a feed shows, in order.
func Statuses() []appointment.Status { return slices.Sorted(maps.Keys(shown)) }

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

// events makes a feed's events, sorted by time, from the appointments that it shows.
func events(all []Appointment, organizer Party, url string) []Event {
	out := make([]Event, 0, len(all))
	for _, a := range all {
		how, ok := shown[a.Status]
		if !ok {
			continue
		}
		out = append(out, Event{
			UID: UID(a.PublicID), Sequence: a.Version, Stamp: a.UpdatedAt, StartsAt: a.StartsAt, EndsAt: a.EndsAt,
			Summary: summary, URL: url, Organizer: organizer, Cancelled: how.cancelled,
		})
	}
	slices.SortFunc(out, func(a, b Event) int {
		return cmp.Or(a.StartsAt.Compare(b.StartsAt), cmp.Compare(a.UID, b.UID))
	})
	return out
}
