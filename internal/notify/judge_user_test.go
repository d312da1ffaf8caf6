package notify

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
)

// Mail about the account itself goes to all users, verified or not, whatever they have turned off, at any hour.
func TestService_sendUser_judges(t *testing.T) {
	t.Parallel()
	until := winter.Add(time.Hour)
	for name, c := range map[string]struct {
		kind   Kind
		letter letter
		change func(*world, *Addressee)
		sent   bool
	}{
		"reset, not verified": {
			PasswordReset, letter{Token: "t", Expires: until}, func(_ *world, a *Addressee) { a.Verified = false }, true,
		},
		"reset, switched off": {
			PasswordReset,
			letter{Token: "t", Expires: until},
			func(w *world, _ *Addressee) { w.unwanted[PasswordReset] = true }, true,
		},
		"reset, at night": {
			PasswordReset, letter{Token: "t", Expires: until}, func(w *world, _ *Addressee) { w.quietUntil = until }, true,
		},
		"reset, disabled": {
			PasswordReset, letter{Token: "t", Expires: until}, func(_ *world, a *Addressee) { a.Active = false }, false,
		},
		"reset, expired": {PasswordReset, letter{Token: "t", Expires: winter}, nil, false},
		"unread":         {Unread, letter{Conversations: 1}, nil, true},
		"unread, not verified": {
			Unread, letter{Conversations: 1}, func(_ *world, a *Addressee) { a.Verified = false }, false,
		},
		"unread, switched off": {
			Unread, letter{Conversations: 1}, func(w *world, _ *Addressee) { w.unwanted[Unread] = true }, false,
		},
		"an offer": {WaitlistOffer, letter{Offer: "o", Expires: until}, nil, true},
		"an offer, at night": {
			WaitlistOffer, letter{Offer: "o", Expires: until}, func(w *world, _ *Addressee) { w.quietUntil = until }, true,
		},
		"an offer, over": {WaitlistOffer, letter{Offer: "o", Expires: winter}, nil, false},
		"an offer, withdrawn": {
			WaitlistOffer, letter{Offer: "o", Expires: until}, func(w *world, _ *Addressee) { w.withdrawn["o"] = true }, false,
		},
		"reset, another since": {
			PasswordReset, letter{Token: "t", Expires: until}, func(w *world, _ *Addressee) { w.withdrawn["t"] = true }, false,
		},
		"enrolled, a password chosen": {
			Enrolled, letter{Token: "t", Expires: until}, func(w *world, _ *Addressee) { w.withdrawn["t"] = true }, false,
		},
		"invitation, accepted": {
			Invitation, letter{Token: "t", Expires: until}, func(w *world, _ *Addressee) { w.withdrawn["t"] = true }, false,
		},
		"an offer, switched off": {
			WaitlistOffer,
			letter{Offer: "o", Expires: until},
			func(w *world, _ *Addressee) { w.unwanted[WaitlistOffer] = true }, false,
		},
		"the old address": {EmailChanged, letter{Address: "old@private.test"}, nil, true},
		"an address to be proved": {
			VerifyEmail,
			letter{Address: "new@private.test", Token: "t", Expires: until},
			func(_ *world, a *Addressee) { a.Verified = false }, true,
		},
		"a person who is gone now": {
			Invitation, letter{Token: "t", Expires: until}, func(_ *world, a *Addressee) { a.ID = 99 }, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, winter)
			s, _ := w.instance(w.out)
			p := w.people[patientID]
			if c.change != nil {
				c.change(w, &p)
			}
			delete(w.people, patientID)
			w.people[p.ID] = p
			sealed, err := s.seal(c.letter)
			require.NoError(t, err)
			require.NoError(t, s.sendUser(t.Context(), userArgs{MailKind: c.kind, User: patientID, Ref: "r", Sealed: sealed}))
			sent := w.out.all()
			require.Equal(t, c.sent, len(sent) == 1)
			if c.letter.Address != "" {
				require.Equal(t, c.letter.Address, sent[0].To.Email)
			}
		})
	}
}

// counts is an Inbox.
type counts int

func (c counts) UnreadConversations(context.Context, int64) (int, error) { return int(c), nil }

// An email about unread messages counts those that are still unread.
func TestService_sendUser_readMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, winter)
	s, _ := w.instance(w.out)
	sealed, err := s.seal(letter{Conversations: 3})
	require.NoError(t, err)
	args := userArgs{MailKind: Unread, User: patientID, Ref: "r", Sealed: sealed}
	s.Connect(counts(0))
	require.NoError(t, s.sendUser(t.Context(), args))
	require.Empty(t, w.out.all())
	s.Connect(counts(1))
	require.NoError(t, s.sendUser(t.Context(), args))
	require.Contains(t, w.out.all()[0].Text, "in one conversation")
}

func TestService_sendUser_sealedElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, winter)
	s, _ := w.instance(w.out)
	other, err := auth.NewSealer([][]byte{[]byte("another secret of this length, yes")})
	require.NoError(t, err)
	err = s.sendUser(t.Context(),
		userArgs{MailKind: Invitation, User: patientID, Sealed: other.Seal(sealPurpose, []byte("{}"))})
	require.EqualError(t, err, "the email cannot be decrypted: the token secret that sealed it is no longer in use")
	require.ErrorIs(t, err, auth.ErrSeal)
}
