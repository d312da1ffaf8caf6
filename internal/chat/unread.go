package chat

import (
	"context"
	"errors"
	"slices"
	"time"

	"housecall/internal/postgres"
)

const (
	// seenEvery is how often the users of open connections are marked as seen. It must be shorter than
	// Options.UnreadAfter.
	seenEvery = time.Minute
	// unreadWindow is how much time one transaction of the sweep covers, and unreadWindows how many transactions one
	// call runs. After a day of downtime one call catches up; after a month it takes several.
	unreadWindow  = time.Hour
	unreadWindows = 24
)

// Notifications tell users outside the chat that something is unread.
type Notifications interface {
	// Unread is called in a transaction, at most once per absence of a user. absence is when the absence began, and
	// conversations the number of their conversations with unread messages.
	Unread(ctx context.Context, tx *postgres.Tx, userID int64, absence time.Time, conversations int) error
}

// NotifyAbsent notifies users who have been away for Options.UnreadAfter, with no open connection on any instance and
// no use of REST, and have a message that has been unread for as long. They are notified once until they have been
// seen again. NotifyAbsent may run on several instances at once. A failure for one user does not affect the others,
// and the next call tries again.
func (s *Service) NotifyAbsent(ctx context.Context) error {
	if s.d.Notifications == nil {
		return nil
	}
	cutoff := s.d.Now().Add(-s.d.Options.UnreadAfter)
	for more, n := true, 0; more && n < unreadWindows; n++ {
		err := s.d.Pool.InTx(ctx, func(tx *postgres.Tx) (err error) {
			more, err = collectUnread(ctx, tx, cutoff, unreadWindow)
			return err
		})
		if err != nil {
			return err
		}
	}
	due, err := absentUsers(ctx, s.d.Pool, cutoff, nil)
	if err != nil {
		return err
	}
	var failures []error
	for _, u := range due {
		failures = append(failures,
			s.d.Pool.InTx(ctx, func(tx *postgres.Tx) error { return s.notify(ctx, tx, u.UserID, cutoff) }))
	}
	return errors.Join(failures...)
}

// notify notifies one user, unless in the meantime they have been seen, have read everything, or were notified by
// another sweeper.
func (s *Service) notify(ctx context.Context, tx *postgres.Tx, user int64, cutoff time.Time) error {
	still, err := absentUsers(ctx, tx, cutoff, &user)
	if err != nil || len(still) == 0 {
		return err
	}
	first, err := markNotified(ctx, tx, user, s.d.Now(), still[0].Seen)
	if err != nil || !first {
		return err
	}
	return s.d.Notifications.Unread(ctx, tx, user, still[0].Seen, still[0].Conversations)
}

// UnreadConversations returns the number of a user's conversations in which something has been unread for
// Options.UnreadAfter.
func (s *Service) UnreadConversations(ctx context.Context, userID int64) (conversations int, err error) {
	return countUnread(ctx, s.d.Pool, userID)
}

// seenLoop marks the users of open connections as seen. Opening a connection already counts as use of REST, so only
// staying connected needs a mark.
func (s *Service) seenLoop() {
	s.every(seenEvery, func() {
		ctx, cancel := context.WithTimeout(s.ctx, backgroundBudget)
		defer cancel()
		// A failure does no harm: the next round comes in time.
		_ = s.markSeen(ctx)
	})
}

func (s *Service) markSeen(ctx context.Context) error {
	return saveSeen(ctx, s.d.Pool, s.connections.people(), s.d.Now())
}

// people returns the users who have an open connection here, in ascending order.
func (cs *connections) people() []int64 {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	out := make([]int64, 0, len(cs.users))
	for id := range cs.users {
		out = append(out, id)
	}
	slices.Sort(out) // so that instances marking the same users do not deadlock
	return out
}
