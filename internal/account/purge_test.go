package account

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/postgres"
)

// The purge does not wait for a row that another instance is deleting or a user has locked.
func TestService_PurgeExpired_SkipsLocked(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.newUser(auth.Patient, "p@example.org")
	h.signIn(u)
	h.signIn(u)
	h.exec(`update sessions set ended_at = now() - interval '60 days'`)
	require.NoError(t, h.pool.InTx(t.Context(), func(tx *postgres.Tx) error {
		held, err := postgres.Column[int64](t.Context(), tx, "sessions",
			`select id from sessions order by id limit 1 for update`)
		require.NoError(t, err)
		require.Len(t, held, 1)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		n, err := h.svc.PurgeExpired(ctx)
		require.NoError(t, err)
		require.Equal(t, int64(1), n)
		return nil
	}))
	n, err := h.svc.PurgeExpired(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(1), n)
}

// The purge finds its rows by an index each; without one it would read whole tables every time.
func TestPurge_UsesIndexes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	type line struct {
		Text string `db:"QUERY PLAN"`
	}
	var plan strings.Builder
	require.NoError(t, h.pool.InTx(t.Context(), func(tx *postgres.Tx) error {
		_, err := tx.Exec(t.Context(), `set local enable_seqscan = off`) // the tables here are empty
		require.NoError(t, err)
		for _, sql := range purges {
			lines, err := postgres.Rows[line](t.Context(), tx, "plan", `explain `+sql, time.Hour, 9)
			require.NoError(t, err)
			for _, l := range lines {
				plan.WriteString(l.Text + "\n")
			}
		}
		return nil
	}))
	for _, index := range []string{
		"refresh_tokens_purge_idx", "sessions_purge_idx", "invitations_purge_idx", "mail_tokens_purge_idx",
	} {
		require.Contains(t, plan.String(), index)
	}
}

func TestService_PurgeExpired(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.newUser(auth.Patient, "p@example.org")
	live, gone := h.signIn(u), h.signIn(u)
	_, err := h.svc.Refresh(t.Context(), live.RefreshToken)
	require.NoError(t, err)
	h.exec(`update sessions set ended_at = now() - interval '60 days' where id = $1`, h.actor(gone.AccessToken).Session)
	h.exec(`update refresh_tokens set used_at = now() - interval '60 days' where used_at is not null`)
	h.invites("i@example.org")
	h.exec(`update invitations set expires_at = now() - interval '60 days'`)
	for i := range 3 { // one will be used, one expired, and one still counts
		h.registers(fmt.Sprintf("m%d@example.org", i))
	}
	h.exec(`update mail_tokens set used_at = now() - interval '60 days' where address = 'm0@example.org'`)
	h.exec(`update mail_tokens set expires_at = now() - interval '60 days' where address = 'm1@example.org'`)
	n, err := h.svc.PurgeExpired(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(5), n)
	n, err = h.svc.PurgeExpired(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
	h.actor(live.AccessToken)
	require.Equal(t, 1, h.count(`select count(*)::int as n from mail_tokens`))
}
