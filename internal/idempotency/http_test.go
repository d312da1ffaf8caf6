package idempotency_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const ok = `{"how":"ok"}`

func TestKey_FirstAnswerAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, other := w.serve(), w.serve()
	first := s.post("PAT1", "/things", "a-key", ok)
	golden(t, "first", first)
	golden(t, "again", other.post("PAT1", "/things", "a-key", ok))
	require.True(t, s.post("PAT1", "/things/", "a-key", ok).replayed, "a slash at the end is the same route")
	require.True(t, s.post("PAT1", "/things", `"a-key"`, ok).replayed, "a quoted key is the same key")
	require.EqualValues(t, 1, w.made.Load())
	require.NotEqual(t, first.Header.Get("X-Request-Id"),
		s.post("PAT1", "/things", "a-key", ok).Header.Get("X-Request-Id"))
}

// A key belongs to one actor, one route and the values of its parameters.
func TestKey_Scope(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.serve()
	for i, c := range []struct{ token, path, key string }{
		{"PAT1", "/things", "a"},
		{"PAT2", "/things", "a"},
		{"PAT1", "/others", "a"},
		{"PAT1", "/things/1/parts", "a"},
		{"PAT1", "/things/2/parts", "a"},
		{"PAT1", "/things", "A"},
		{"PAT1", "/things", "a b"},
	} {
		a := s.post(c.token, c.path, c.key, ok)
		require.Equal(t, 201, a.Status, a.String())
		require.False(t, a.replayed, "%v", c)
		require.EqualValues(t, i+1, w.made.Load())
		again := s.post(c.token, c.path, c.key, ok)
		require.True(t, again.replayed)
		require.Equal(t, a.String(), again.String())
	}
}

func TestKey_AnotherRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.serve()
	s.post("PAT1", "/things", "a-key", ok)
	golden(t, "reused", s.post("PAT1", "/things", "a-key", `{"how":"well"}`))
	require.Equal(t, "idempotency_key_reused", s.post("PAT1", "/things", "a-key", ok+" ").Code(), "byte for byte")
	s.post("PAT1", "/things/1/parts?part=x", "a-key", ok)
	require.Equal(t, "idempotency_key_reused", s.post("PAT1", "/things/1/parts?part=y", "a-key", ok).Code())
	require.EqualValues(t, 2, w.made.Load())
	require.True(t, s.post("PAT1", "/things", "a-key", ok).replayed, "the first stays")
}

// Refusals are kept like other answers; failures on our side, and requests to come back later, are not.
func TestKey_WhatIsFinal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.serve()
	for how, status := range map[string]int{
		"conflict": 409, "invalid": 422, "missing": 404, "forbidden": 403, "stale": 412, "a-name-that-is-too-long": 422,
	} {
		body := `{"how":"` + how + `"}`
		first, again := s.post("PAT1", "/things", how, body), s.post("PAT1", "/things", how, body)
		require.Equal(t, status, first.Status, how)
		require.True(t, again.replayed, how)
		require.Equal(t, first.String(), again.String(), "with the id of the first request")
		require.Equal(t, "application/problem+json", again.Header.Get("Content-Type"))
	}
	golden(t, "refused", s.post("PAT1", "/things", "conflict", `{"how":"conflict"}`))
	for how, status := range map[string]int{
		"unauthenticated": 401, "large": 413, "limited": 429, "later": 409, "unavailable": 503, "broken": 500, "panic": 500,
	} {
		before := w.made.Load()
		for range 2 {
			a := s.post("PAT1", "/things", how, `{"how":"`+how+`"}`)
			require.Equal(t, status, a.Status, how)
			require.False(t, a.replayed, how)
		}
		require.Equal(t, before+2, w.made.Load(), how)
		require.Equal(t, 201, s.post("PAT1", "/things", how, ok).Status, "the key is free, for any request")
	}
}

// A request that never reached the handler takes no key.
func TestKey_BeforeTheHandler(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.serve()
	require.Equal(t, 401, s.post("nobody", "/things", "a", ok).Status)
	require.Equal(t, 422, s.post("PAT1", "/things", "a", `{"how":"\u0000"}`).Status)
	require.Equal(t, 413, s.post("PAT1", "/things", "a", `{"how":"`+strings.Repeat("x", 5000)+`"}`).Status)
	require.Zero(t, w.rows())
}

func TestKey_BadKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.serve()
	for _, keys := range [][]string{{""}, {"a", "b"}, {"a", "a"}, {"é"}, {`"open`}, {`""`}, {`"a";b=1`}, {strings.Repeat("x", 256)}} {
		a, err := s.try("PAT1", "/things", keys, ok)
		require.NoError(t, err)
		require.Equal(t, 422, a.Status, "%q", keys)
		require.Contains(t, a.String(), `"path":"header.Idempotency-Key"`)
	}
	golden(t, "bad-key", s.post("PAT1", "/things", `"open`, ok))
	require.Zero(t, w.made.Load())
	require.Equal(t, 201, s.post("PAT1", "/things", strings.Repeat("x", 255), ok).Status)
}

// A route ignores keys if it creates nothing, if its body names what it creates, or if it has no actor.
func TestKey_RoutesThatTakeNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.serve()
	for _, path := range []string{"/messages", "/register", "/confirm"} {
		for _, key := range []string{"a", "a", "é"} {
			a := s.post("PAT1", path, key, ok)
			require.Less(t, a.Status, 300, a.String())
			require.False(t, a.replayed)
		}
	}
	require.EqualValues(t, 9, w.made.Load())
	require.Zero(t, w.rows())
}

// Many workers send the same request to two instances: one carries it out, all end up with its answer.
func TestKey_OneWinnerOverTwoInstances(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	servers := []*server{w.serve(), w.serve()}
	const workers = 16
	send := func(i int) (answer, error) {
		return servers[i%2].try("PAT1", "/things", []string{"a-key"}, `{"how":"wait"}`)
	}
	winner := make(chan answer, 1)
	go func() {
		a, err := send(0)
		if err != nil {
			a.Status = -1
		}
		winner <- a
	}()
	<-w.entered
	for i, a := range w.all(workers, send) {
		require.Equal(t, 409, a.Status, a.String())
		require.Equal(t, "request_in_progress", a.Code())
		require.Equal(t, "1", a.Header.Get("Retry-After"))
		if i == 0 {
			golden(t, "in-progress", a)
		}
	}
	require.Equal(t, "idempotency_key_reused", servers[1].post("PAT1", "/things", "a-key", ok).Code(),
		"while in flight, too")
	close(w.released)
	first := <-winner
	require.Equal(t, 201, first.Status, first.String())
	for _, a := range w.all(workers, send) {
		require.Equal(t, 201, a.Status, a.String())
		require.True(t, a.replayed)
		require.Equal(t, first.String(), a.String())
	}
	require.EqualValues(t, 1, w.made.Load())
}

// The same without waiting: attempts during the first one are told that it is in progress, and nothing is carried out
// twice.
func TestKey_ManyWorkers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	servers := []*server{w.serve(), w.serve()}
	for _, key := range []string{"a", "b", "c", "d", "e"} {
		before := w.made.Load()
		fresh := 0
		for _, a := range w.all(16, func(i int) (answer, error) { return servers[i%2].try("PAT1", "/things", []string{key}, ok) }) {
			if a.Status == 409 {
				require.Equal(t, "request_in_progress", a.Code())
				continue
			}
			require.Equal(t, 201, a.Status, a.String())
			if !a.replayed {
				fresh++
			}
		}
		require.Equal(t, 1, fresh)
		require.Equal(t, before+1, w.made.Load())
	}
}

// An answer with a secret is given again, and stored nowhere in a readable form.
func TestKey_SecretsAreSealed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.serve()
	const key = "my-key-is-nobodys-business"
	require.Contains(t, s.post("PAT1", "/things", key, ok).String(), secret)
	again := s.post("PAT1", "/things", key, ok)
	require.True(t, again.replayed)
	require.Contains(t, again.String(), secret)
	for _, readable := range []string{secret, key, "/things", "number", "how", "application/json"} {
		require.NotContains(t, w.dump(), readable)
		var inBytes bool
		require.NoError(t, w.pool.QueryRow(t.Context(), `
			select bool_or(position(convert_to($1, 'UTF8') in digest) > 0 or position(convert_to($1, 'UTF8') in fingerprint) > 0
			            or position(convert_to($1, 'UTF8') in decode(rpad(translate(answer, '-_', '+/'), (length(answer) + 3) / 4 * 4, '='), 'base64')) > 0)
			from idempotency_keys`, readable).Scan(&inBytes))
		require.False(t, inBytes, readable)
	}
	require.NotContains(t, w.log.String(), key)
	require.NotContains(t, w.log.String(), secret)

	s.post("PAT2", "/things", key, ok)
	_, err := w.pool.Exec(t.Context(), `
		update idempotency_keys k set answer = o.answer from idempotency_keys o where o.user_id = $1 and k.user_id = $2`,
		w.users["PAT1"].ID, w.users["PAT2"].ID)
	require.NoError(t, err)
	require.Equal(t, "already_done", s.post("PAT2", "/things", key, ok).Code(), "an answer opens for its own actor only")
}

// While secrets are replaced, all instances read what the others sealed; afterwards, a finished request is not carried
// out again.
func TestKey_SecretsAreReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const old, fresh = "b8Rr5TnYw1Bd7Hf4Gm6Ps0Ck3J9vQ2xLz", "x2Lz8Rr5TnYw1Bd7Hf4Gm6Ps0Ck3J9vQ"
	w.serve(old).post("PAT1", "/things", "a", ok)
	require.True(t, w.serve(fresh, old).post("PAT1", "/things", "a", ok).replayed)
	golden(t, "already-done", w.serve(fresh).post("PAT1", "/things", "a", ok))
	require.EqualValues(t, 1, w.made.Load())
}

func TestKey_KeptForADay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.serve()
	s.post("PAT1", "/things", "a", ok)
	w.pass(24*time.Hour - time.Nanosecond)
	require.True(t, s.post("PAT1", "/things", "a", ok).replayed)
	n, err := s.svc.Purge(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
	w.pass(time.Microsecond)
	a := s.post("PAT1", "/things", "a", `{"how":"well"}`)
	require.Equal(t, 201, a.Status, "an old key is free before it is purged")
	require.False(t, a.replayed)
	s.post("PAT1", "/things", "b", ok)
	w.pass(24 * time.Hour)
	s.post("PAT1", "/things", "c", ok)
	n, err = s.svc.Purge(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 2, n)
	require.Equal(t, 1, w.rows())
}
