package calendar

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"housecall/internal/auth"
	"housecall/internal/httpd"
)

func TestRoutes_LifeOfAFeed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.user(pat, auth.Patient)
	w.user(ann, auth.Doctor)
	for _, method := range []string{"GET", "POST", "DELETE"} {
		require.Equal(t, http.StatusUnauthorized, w.api(method, "/me/calendar", "").status)
	}
	require.Equal(t, http.StatusNotFound, w.api("GET", "/me/calendar", pat).status)
	require.Equal(t, http.StatusNotFound, w.api("DELETE", "/me/calendar", pat).status)
	require.Zero(t, w.audited("calendar.revoke"))

	made := w.api("POST", "/me/calendar", pat)
	require.Equal(t, http.StatusCreated, made.status, string(made.raw))
	goldenJSON(t, "created", made, "url", "createdAt")
	address := made.body["url"].(string)
	require.Regexp(t, `^https://clinic\.example/calendar/[A-Za-z0-9_-]{43}\.ics$`, address)
	unread := w.api("GET", "/me/calendar", pat)
	require.Equal(t, http.StatusOK, unread.status)
	goldenJSON(t, "unread", unread, "createdAt")
	require.NotContains(t, string(unread.raw), secretOf(address))

	w.diary.set(id, visit("APP0000000002", "CANCELLED", 3, tuesday.Add(72*time.Hour)), visit("APP0000000001", "BOOKED", 2, tuesday))
	got := w.read(address)
	require.Equal(t, http.StatusOK, got.status)
	golden(t, "served", got.raw)
	require.Equal(t, "text/calendar; charset=utf-8", got.header.Get("Content-Type"))
	require.Equal(t, "private, no-cache", got.header.Get("Cache-Control"))
	require.Equal(t, "nosniff", got.header.Get("X-Content-Type-Options"))
	w.diary.mu.Lock()
	require.Equal(t, w.time().Add(-30*24*time.Hour), w.diary.from)
	require.Equal(t, w.time().Add(90*24*time.Hour), w.diary.to, "as far as can be booked")
	w.diary.mu.Unlock()
	read := w.api("GET", "/me/calendar", pat)
	goldenJSON(t, "read", read, "createdAt")
	require.Equal(t, http.StatusNotFound, w.api("GET", "/me/calendar", ann).status, "another user has none")
	require.Equal(t, http.StatusNotFound, w.api("DELETE", "/me/calendar", ann).status)

	require.Equal(t, http.StatusNoContent, w.api("DELETE", "/me/calendar", pat).status)
	require.Equal(t, http.StatusNotFound, w.read(address).status)
	require.Equal(t, http.StatusNotFound, w.read(address, "If-None-Match", got.etag()).status, "not even that nothing has changed")
	require.Equal(t, http.StatusNotFound, w.api("GET", "/me/calendar", pat).status)
	require.Equal(t, 1, w.audited("calendar.create"))
	require.Equal(t, 1, w.audited("calendar.revoke"))
}

// The other side, the reason and whatever else is known stays out: a feed says when, and nothing else.
func TestRoutes_FeedSaysOnlyWhen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.user(pat, auth.Patient)
	w.diary.set(id,
		visit("APP0000000001", "BOOKED", 1, tuesday), visit("APP0000000002", "COMPLETED", 2, tuesday.Add(-24*time.Hour)),
		visit("APP0000000003", "NO_SHOW", 3, tuesday.Add(-48*time.Hour)), visit("APP0000000004", "CANCELLED", 4, tuesday),
		visit("APP0000000005", "PENDING", 5, tuesday), visit("APP0000000006", "REJECTED", 6, tuesday),
		visit("APP0000000007", "EXPIRED", 7, tuesday), visit("APP0000000008", "", 8, tuesday),
	)
	feed := sheet(t, w.read(w.make(pat)).raw)
	status := map[string]string{}
	for _, e := range feed.Events() {
		status[value(t, e.Props, "UID")] = value(t, e.Props, "STATUS")
		require.Equal(t, "Appointment", value(t, e.Props, "SUMMARY"))
		require.Equal(t, "https://clinic.example", value(t, e.Props, "URL"))
		require.Equal(t, []string{
			"CLASS", "DTEND", "DTSTAMP", "DTSTART", "LAST-MODIFIED", "ORGANIZER", "SEQUENCE", "STATUS", "SUMMARY", "TRANSP", "UID", "URL",
		}, names(e.Props))
	}
	require.Equal(t, map[string]string{
		"APP0000000001@housecall": "CONFIRMED", "APP0000000002@housecall": "CONFIRMED", "APP0000000003@housecall": "CONFIRMED",
		"APP0000000004@housecall": "CANCELLED",
	}, status)
}

func TestRoutes_AnotherAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(pat, auth.Patient)
	first := w.make(pat)
	require.Equal(t, http.StatusOK, w.read(first).status)
	second := w.make(pat)
	require.NotEqual(t, first, second)
	require.Equal(t, http.StatusNotFound, w.read(first).status)
	require.Nil(t, w.api("GET", "/me/calendar", pat).body["lastReadAt"], "the new one was never read")
	require.Equal(t, http.StatusOK, w.read(second).status)
}

func TestRoutes_DisabledUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(pat, auth.Patient)
	address := w.make(pat)
	require.Equal(t, http.StatusOK, w.read(address).status)
	w.exec(`update users set disabled_at = now()`)
	require.Equal(t, http.StatusNotFound, w.read(address).status)
	w.exec(`update users set disabled_at = null`)
	require.Equal(t, http.StatusOK, w.read(address).status)
}

// What is not there answers as what is there no more, and nothing around the route is a way in.
func TestRoutes_NoSuchFeed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(pat, auth.Patient)
	address := w.make(pat)
	secret := secretOf(address)
	w.api("DELETE", "/me/calendar", pat)
	gone := w.read(address)
	delete(gone.body, "requestId")
	for _, other := range []string{"x", strings.Repeat("A", 43), strings.ToLower(secret) + "x", "%27%20or%201=1", "..", "a.ics", strings.Repeat("x", 2000)} {
		a := w.read("https://clinic.example/calendar/" + other + ".ics")
		require.Equal(t, http.StatusNotFound, a.status, other)
		delete(a.body, "requestId")
		if other != ".." && other != "a.ics" { // these are no such route
			require.Equal(t, gone.body, a.body, other)
		}
		require.NotContains(t, string(a.raw), secret)
	}
	for _, path := range []string{"/calendar/.ics", "/calendar/", "/calendar", "/calendar/" + secret, "/calendar/a/b.ics", "/api/v1/calendar/" + secret + ".ics"} {
		require.Equal(t, http.StatusNotFound, w.read("https://clinic.example"+path).status, path)
	}
	require.Equal(t, http.StatusUnprocessableEntity, w.read("https://clinic.example/calendar/%00.ics").status)
	post, err := w.send("POST", w.here(address))
	require.NoError(t, err)
	require.Equal(t, http.StatusMethodNotAllowed, post.status)
}

func TestRoutes_Conditions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.user(pat, auth.Patient)
	address := w.make(pat)
	first := w.read(address)
	require.Equal(t, "Tue, 03 Mar 2026 09:00:00 GMT", first.modified())
	require.Regexp(t, `^"[A-Za-z0-9_-]{22}"$`, first.etag())
	const long = "Mon, 02 Mar 2026 09:00:00 GMT"
	for name, c := range map[string]struct {
		headers []string
		status  int
	}{
		"the tag":              {[]string{"If-None-Match", first.etag()}, http.StatusNotModified},
		"the tag, as weak":     {[]string{"If-None-Match", "W/" + first.etag()}, http.StatusNotModified},
		"among others":         {[]string{"If-None-Match", `"a", ` + first.etag() + `,"b"`}, http.StatusNotModified},
		"any":                  {[]string{"If-None-Match", "*"}, http.StatusNotModified},
		"another tag":          {[]string{"If-None-Match", `"a"`}, http.StatusOK},
		"the time":             {[]string{"If-Modified-Since", first.modified()}, http.StatusNotModified},
		"an older time":        {[]string{"If-Modified-Since", long}, http.StatusOK},
		"no time":              {[]string{"If-Modified-Since", "yesterday"}, http.StatusOK},
		"both":                 {[]string{"If-None-Match", first.etag(), "If-Modified-Since", first.modified()}, http.StatusNotModified},
		"the tag decides: yes": {[]string{"If-None-Match", first.etag(), "If-Modified-Since", long}, http.StatusNotModified},
		"the tag decides: no":  {[]string{"If-None-Match", `"a"`, "If-Modified-Since", first.modified()}, http.StatusOK},
	} {
		got := w.read(address, c.headers...)
		require.Equal(t, c.status, got.status, name)
		require.Equal(t, first.etag(), got.etag(), name)
		require.Equal(t, first.modified(), got.modified(), name)
		require.Equal(t, "private, no-cache", got.header.Get("Cache-Control"), name)
		require.Equal(t, c.status == http.StatusOK, len(got.raw) > 0, name)
	}
	head, err := w.send("HEAD", w.here(address))
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, head.status)
	require.Equal(t, first.etag(), head.etag())
	require.Empty(t, head.raw)

	// A change within the second in which the first was read must not look as old as that.
	w.diary.set(id, visit("APP0000000001", "BOOKED", 1, tuesday))
	w.pass(200 * time.Millisecond)
	second := w.read(address, "If-Modified-Since", first.modified())
	require.Equal(t, http.StatusOK, second.status)
	require.NotEqual(t, first.etag(), second.etag())
	require.Empty(t, second.modified(), "its second has not come yet")
	w.pass(time.Second)
	again := w.read(address, "If-Modified-Since", first.modified())
	require.Equal(t, http.StatusOK, again.status)
	require.Equal(t, "Tue, 03 Mar 2026 09:00:01 GMT", again.modified())
	require.Equal(t, http.StatusNotModified, w.read(address, "If-Modified-Since", again.modified()).status)

	// What is taken out is a change like any other, though nothing in the feed is newer for it.
	w.diary.set(id)
	w.pass(time.Hour)
	third := w.read(address, "If-Modified-Since", again.modified())
	require.Equal(t, http.StatusOK, third.status)
	require.Equal(t, first.etag(), third.etag())
	require.Equal(t, "Tue, 03 Mar 2026 10:00:01 GMT", third.modified())
	require.Equal(t, "2026-03-03T10:00:01.5Z", w.api("GET", "/me/calendar", pat).body["lastReadAt"])
	w.pass(59 * time.Second)
	require.Equal(t, http.StatusNotModified, w.read(address, "If-None-Match", third.etag()).status)
	require.Equal(t, "2026-03-03T10:00:01.5Z", w.api("GET", "/me/calendar", pat).body["lastReadAt"], "true to a minute")
	w.pass(time.Second)
	require.Equal(t, http.StatusNotModified, w.read(address, "If-None-Match", third.etag()).status)
	require.Equal(t, "2026-03-03T10:01:01.5Z", w.api("GET", "/me/calendar", pat).body["lastReadAt"])
	require.Equal(t, third.modified(), w.read(address).modified())
}

// However many ask for a feed at once, one address leads to it, and it is one that somebody was given.
func TestRoutes_OneAddressWorks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(pat, auth.Patient)
	addresses := make([]string, 24)
	var all errgroup.Group
	for i := range addresses {
		all.Go(func() error {
			a, err := w.send("POST", w.root+httpd.APIPrefix+"/me/calendar", "Authorization", "Bearer "+pat)
			if err == nil && a.status == http.StatusCreated {
				addresses[i] = a.body["url"].(string)
			}
			return err
		})
	}
	require.NoError(t, all.Wait())
	working := 0
	for _, address := range addresses {
		require.NotEmpty(t, address)
		if w.read(address).status == http.StatusOK {
			working++
		}
	}
	require.Equal(t, 1, working)
	require.Equal(t, len(addresses), w.audited("calendar.create"))
}

// Reads while the feed goes away find it or do not; nothing else happens to them, and nobody brings it back.
func TestRoutes_ReadWhileRevoked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(pat, auth.Patient)
	address := w.here(w.make(pat))
	statuses := make([]int, 32)
	revoked := 0
	var all errgroup.Group
	for i := range statuses {
		all.Go(func() error {
			a, err := w.send("GET", address)
			statuses[i] = a.status
			return err
		})
		if i == len(statuses)/2 {
			all.Go(func() error {
				a, err := w.send("DELETE", w.root+httpd.APIPrefix+"/me/calendar", "Authorization", "Bearer "+pat)
				revoked = a.status
				return err
			})
		}
	}
	require.NoError(t, all.Wait())
	require.Equal(t, http.StatusNoContent, revoked)
	for _, s := range statuses {
		require.Contains(t, []int{http.StatusOK, http.StatusNotFound}, s)
	}
	a, err := w.send("GET", address)
	require.NoError(t, err)
	require.Equal(t, http.StatusNotFound, a.status)
}

func TestRoutes_Throttled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(pat, auth.Patient)
	w.make(pat)
	var last answer
	for range 20 * readsPerAddress.N { // more come back while they are used up, but not as fast
		if last = w.read("https://clinic.example/calendar/guess.ics"); last.status != http.StatusNotFound {
			break
		}
	}
	require.Equal(t, http.StatusTooManyRequests, last.status)
	require.Equal(t, "rate_limited", last.body["code"])
	require.NotEmpty(t, last.header.Get("Retry-After"))
	require.Equal(t, http.StatusOK, w.api("GET", "/me/calendar", pat).status, "the owner's routes do not count")
}

// The secret is with its owner and nowhere else.
func TestRoutes_SecretStaysSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(pat, auth.Patient)
	address := w.make(pat)
	secret := secretOf(address)
	require.Equal(t, http.StatusOK, w.read(address).status)
	w.api("DELETE", "/me/calendar", pat)
	require.Equal(t, http.StatusNotFound, w.read(address).status)
	w.make(pat)

	log := w.log.text()
	require.Contains(t, log, `"route":"/calendar/:secret.ics"`)
	require.NotContains(t, log, secret)
	families, err := w.registry.Gather()
	require.NoError(t, err)
	var metrics strings.Builder
	for _, f := range families {
		metrics.WriteString(f.String())
	}
	require.Contains(t, metrics.String(), `"/calendar/:secret.ics"`)
	require.NotContains(t, metrics.String(), secret)
	for _, table := range []string{"calendar_feeds", "audit_events"} {
		var kept string
		require.NoError(t, w.pool.QueryRow(t.Context(), `select string_agg(x::text, ' ') from `+table+` x`).Scan(&kept))
		require.NotEmpty(t, kept)
		require.NotContains(t, kept, secret)
	}
}
