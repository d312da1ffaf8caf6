package account

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/postgres"
)

// letter is an email from package account, as the mailer would see it.
type letter struct {
	Kind    string // invitation, enrolled, reset, verify or changed
	User    int64
	Address string
	Token   string
	Expires time.Time
}

// mailbox keeps the emails of committed transactions; those of rolled back ones were never sent.
type mailbox struct {
	mu   sync.Mutex
	sent []letter
	// arrived, if not nil, gets a value for each.
	arrived chan struct{}
}

var _ Mail = (*mailbox)(nil)

func (b *mailbox) keep(tx *postgres.Tx, m letter) error {
	tx.AfterCommit(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.sent = append(b.sent, m)
		if b.arrived != nil {
			b.arrived <- struct{}{}
		}
	})
	return nil
}

func (b *mailbox) Invitation(_ context.Context, tx *postgres.Tx, userID int64, l auth.Link) error {
	return b.keep(tx, letter{Kind: "invitation", User: userID, Token: l.Token, Expires: l.Expires})
}

func (b *mailbox) Enrolled(_ context.Context, tx *postgres.Tx, userID int64, l auth.Link) error {
	return b.keep(tx, letter{Kind: "enrolled", User: userID, Token: l.Token, Expires: l.Expires})
}

func (b *mailbox) PasswordReset(_ context.Context, tx *postgres.Tx, userID int64, l auth.Link) error {
	return b.keep(tx, letter{Kind: "reset", User: userID, Token: l.Token, Expires: l.Expires})
}

func (b *mailbox) VerifyEmail(_ context.Context, tx *postgres.Tx, userID int64, address string, l auth.Link) error {
	return b.keep(tx, letter{Kind: "verify", User: userID, Address: address, Token: l.Token, Expires: l.Expires})
}

func (b *mailbox) EmailChanged(_ context.Context, tx *postgres.Tx, userID int64, oldAddress string) error {
	return b.keep(tx, letter{Kind: "changed", User: userID, Address: oldAddress})
}

// all returns what was sent and empties the box.
func (b *mailbox) all() []letter {
	b.mu.Lock()
	defer b.mu.Unlock()
	sent := b.sent
	b.sent = nil
	return sent
}

// kinds returns the kinds and addresses of the sent emails, and empties the box.
func (b *mailbox) kinds() []string {
	var out []string
	for _, m := range b.all() {
		out = append(out, strings.TrimSuffix(m.Kind+" "+m.Address, " "))
	}
	return out
}

// mailed returns the token of the only email in the box, which must be of a kind, and empties the box.
func (h *house) mailed(kind string) string {
	h.t.Helper()
	sent := h.mail.all()
	require.Len(h.t, sent, 1)
	require.Equal(h.t, kind, sent[0].Kind)
	return sent[0].Token
}
