package idempotency_test

import (
	"crypto/sha256"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/httpd"
)

func (w *world) attempt(body string) httpd.Attempt {
	return httpd.Attempt{
		Actor: w.users["PAT1"].ID, Operation: "POST /x", Key: "k", Fingerprint: sha256.Sum256([]byte(body)),
	}
}

var done = httpd.Answer{Status: 201, Header: map[string]string{"Location": "/x/1"}, Body: []byte(`{}`)}

// An attempt that crashed blocks its key until its lease has ended. Then one of many retries takes over.
func TestService_Claim_afterACrash(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.service(), w.service()
	crashed, first, err := a.Claim(t.Context(), w.attempt("x"))
	require.NoError(t, err)
	require.NotEmpty(t, crashed)
	require.Nil(t, first)

	w.pass(30*time.Second - time.Microsecond) // the deadline of a request, and 20 s
	_, _, err = b.Claim(t.Context(), w.attempt("x"))
	require.ErrorIs(t, err, httpd.ErrInProgress)
	w.pass(time.Microsecond)
	_, _, err = b.Claim(t.Context(), w.attempt("another body"))
	require.ErrorIs(t, err, httpd.ErrKeyReused, "a crash does not make it another request's")

	var (
		mu     sync.Mutex // guards all below
		claims []string
		others int
		every  sync.WaitGroup
	)
	for i := range 16 {
		svc := a
		if i%2 == 0 {
			svc = b
		}
		every.Go(func() {
			claim, _, err := svc.Claim(t.Context(), w.attempt("x"))
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				claims = append(claims, claim)
			} else if httpd.ErrInProgress.Is(err) {
				others++
			}
		})
	}
	every.Wait()
	require.Len(t, claims, 1)
	require.Equal(t, 15, others)

	// The crashed one was only slow: it has lost the key, and cannot settle it any more.
	require.NoError(t, a.Free(t.Context(), w.attempt("x"), crashed))
	require.NoError(t, a.Keep(t.Context(), w.attempt("x"), crashed, httpd.Answer{Status: 500}))
	_, _, err = a.Claim(t.Context(), w.attempt("x"))
	require.ErrorIs(t, err, httpd.ErrInProgress)
	require.NoError(t, b.Keep(t.Context(), w.attempt("x"), claims[0], done))
	_, first, err = a.Claim(t.Context(), w.attempt("x"))
	require.NoError(t, err)
	require.Equal(t, &done, first)
	require.NoError(t, b.Free(t.Context(), w.attempt("x"), claims[0]), "an answer stays")
	_, first, err = a.Claim(t.Context(), w.attempt("x"))
	require.NoError(t, err)
	require.Equal(t, &done, first)
}

func TestService_Free(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	svc := w.service()
	claim, _, err := svc.Claim(t.Context(), w.attempt("x"))
	require.NoError(t, err)
	require.NoError(t, svc.Free(t.Context(), w.attempt("x"), claim))
	require.Zero(t, w.rows())
	_, first, err := svc.Claim(t.Context(), w.attempt("another body"))
	require.NoError(t, err)
	require.Nil(t, first)
}

// Only what Claim returned is a claim.
func TestService_ForeignClaims(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	svc := w.service()
	require.Error(t, svc.Keep(t.Context(), w.attempt("x"), "", done))
	require.Error(t, svc.Free(t.Context(), w.attempt("x"), "x"))
}
