package auth

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/errs"
)

func TestPasswords_GiveUpWithTheRequest(t *testing.T) {
	t.Parallel()
	p, err := NewPasswords()
	require.NoError(t, err)
	for range cap(p.slots) {
		p.slots <- struct{}{} // all busy
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = p.Matches(ctx, "x", "")
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	require.ErrorIs(t, err, context.Canceled)
	_, err = p.Hash(ctx, "x")
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	<-p.slots
	_, err = p.Hash(t.Context(), "x")
	require.NoError(t, err, "a slot that is free again is used")
}
