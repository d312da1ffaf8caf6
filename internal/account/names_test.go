package account

import (
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
)

// found is whom an administrator's search finds, by address.
func (h *house) found(token, q string) []string {
	h.t.Helper()
	a := h.call("GET", "/users?q="+url.QueryEscape(q), token, "")
	require.Equal(h.t, 200, a.Status, string(a.Raw))
	return a.Each("email")
}

// People are found without accents and in any case, whichever release wrote their names.
func TestRoutes_Users_folded(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	token := h.token(h.newUser(auth.Admin, "boss@example.org"))
	one := h.newUser(auth.Patient, "one@example.org")
	me := h.token(one)
	rename := func(name string) answer {
		t.Helper()
		a := h.call("GET", "/me", me, "")
		a = h.call("PATCH", "/me", me, `{"name":"`+name+`"}`, "If-Match", a.ETag())
		require.Equal(t, 200, a.Status, string(a.Raw))
		return a
	}
	found := []string{"one@example.org"}
	for name, queries := range map[string][]string{
		"Jürgen Müller":            {"muller", "JURGEN MU", "müller", "mu\u0308ller", "jürgen\u00a0müller", "ONE@example", one.PublicID[3:]},
		"Siobhán O’Connor-Ødegård": {"o'connor", "siobhan o", "connor odegard"},
		"علی کریمی":                {"علي", "كريمى"},
		"ﾔﾏﾀﾞ 太郎":                  {"ヤマダ", "太郎"},
		"किरण २":                   {"किरण 2"},
	} {
		rename(name)
		for _, q := range queries {
			require.Equal(t, found, h.found(token, q), "%s, %s", name, q)
		}
	}
	require.Empty(t, h.found(token, "%"))
	require.Empty(t, h.found(token, "'"))
	rename("Jürgen Müller")
	rename("किरण २")
	require.Empty(t, h.found(token, "muller"), "the former name")

	_, err := h.pool.Exec(t.Context(), `update users set name = 'Zoë Ångström' where id = $1`, one.ID) // the release before
	require.NoError(t, err)
	require.Empty(t, h.found(token, "किरण 2"))
	require.Equal(t, found, h.found(token, "zoë å"), "as it is written, until it is folded")
	require.NoError(t, h.svc.CatchUp(t.Context()))
	require.Equal(t, found, h.found(token, "zoe a"))
}

// What is invisible in a name is dropped, and the rest composed.
func TestRoutes_Rename_tidy(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	me := h.token(h.newUser(auth.Patient, "one@example.org"))
	a := h.call("GET", "/me", me, "")
	a = h.call("PATCH", "/me", me, `{"name":"\u2068\u200fZoe\u0308\u00a0O\u00adk\u200b\u2069\ufeff"}`, "If-Match", a.ETag())
	require.Equal(t, 200, a.Status, string(a.Raw))
	require.Equal(t, "Zoë Ok", a.Text("name"))
	a = h.call("PATCH", "/me", me, `{"name":"\u2068\u200f"}`, "If-Match", a.ETag())
	require.Equal(t, 422, a.Status)
	require.Equal(t, "body.name", a.BadField())
}

// Many instances fold what the release before wrote.
func TestService_CatchUp_manyInstances(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ctx := t.Context()
	_, err := h.pool.Exec(ctx, `insert into users (public_id, email, name, role)
		select 'PATX' || g, 'x' || g || '@example.test', 'Müller ' || g, 'PATIENT' from generate_series(1, 1200) g`)
	require.NoError(t, err)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := h.svc.CatchUp(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	require.NoError(t, h.svc.CatchUp(ctx), "what one has passed over")
	var folded int
	require.NoError(t, h.pool.QueryRow(ctx, `select count(*) from users where folded = lower(replace(name, 'ü', 'u'))`).
		Scan(&folded))
	require.Equal(t, 1200, folded)

	// The indexes answer a search for people: nobody reads all of a large clinic's users, not even backwards. (Twenty
	// thousand are few enough for PostgreSQL to read the table itself.)
	_, err = h.pool.Exec(ctx, `
		insert into users (public_id, email, name, role, folded, folded_from)
		select 'PAT' || lpad(n::text, 10, '0'), n || '@crowd.test', 'Person ' || md5(n::text), 'PATIENT',
		       'person ' || md5(n::text), 'Person ' || md5(n::text)
		from generate_series(1, 20000) n`)
	require.NoError(t, err)
	_, err = h.pool.Exec(ctx, `vacuum analyze users`) // also merges what the indexes have pending
	require.NoError(t, err)
	var plan []string
	tx, err := h.pool.Begin(ctx)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(ctx) }()
	_, err = tx.Exec(ctx, `set local enable_seqscan = off`)
	require.NoError(t, err)
	rows, err := tx.Query(ctx, `explain (costs off) `+selectUsers, Filter{Query: "quigley"}.arguments(0, 20)...)
	require.NoError(t, err)
	for rows.Next() {
		var line string
		require.NoError(t, rows.Scan(&line))
		plan = append(plan, line)
	}
	require.NoError(t, rows.Err())
	require.Contains(t, strings.Join(plan, "\n"), "users_unfolded_name_idx")
	require.Contains(t, strings.Join(plan, "\n"), "users_search_idx")
}
