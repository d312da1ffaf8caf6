package calendar

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"housecall/internal/auth"
	"housecall/internal/testing/apitest"
)

func TestRoutes_LifeOfAFeed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.user(pat, auth.Patient)
	w.user(ann, auth.Doctor)
	for _, method := range []string{"GET", "POST", "DELETE"} {
		require.Equal(t, http.StatusUnauthorized, w.api(method, "/me/calendar", "").Status)
	}
	require.Equal(t, http.StatusNotFound, w.api("GET", "/me/calendar", pat).Status)
	require.Equal(t, http.StatusNotFound, w.api("DELETE", "/me/calendar", pat).Status)
	require.Zero(t, w.audited("calendar.revoke"))

	made := w.api("POST", "/me/calendar", pat)
	require.Equal(t, http.StatusCreated, made.Status, string(made.Raw))
	apitest.Golden(t, "created", made, apitest.MaskMember("url|createdAt"))
	address := made.Body["url"].(string)
	require.Regexp(t, `^https://clinic\.example/calendar/[A-Za-z0-9_-]{43}\.ics$`, address)
	unread := w.api("GET", "/me/calendar", pat)
	require.Equal(t, http.StatusOK, unread.Status)
	apitest.Golden(t, "unread", unread, apitest.MaskMember("createdAt"))
	require.NotContains(t, string(unread.Raw), secretOf(address))

	w.diary.set(id, visit("APP0000000002", "CANCELLED", 3, tuesday.Add(72*time.Hour)),
		visit("APP0000000001", "BOOKED", 2, tuesday))
	got := w.reads(address)
	require.Equal(t, http.StatusOK, got.Status)
	golden(t, "served", got.Raw)
	require.Equal(t, "text/calendar; charset=utf-8", got.Header.Get("Content-Type"))
	require.Equal(t, "private, no-cache", got.Header.Get("Cache-Control"))
	require.Equal(t, `attachment; filename="appointments.ics"`, got.Header.Get("Content-Disposition"))
	require.Equal(t, "Origin, Accept-Encoding", got.Header.Get("Vary"))
	require.Equal(t, "nosniff", got.Header.Get("X-Content-Type-Options"))
	w.diary.mu.Lock()
	require.Equal(t, w.time().Add(-30*24*time.Hour), w.diary.from)
	require.Equal(t, w.time().Add(90*24*time.Hour), w.diary.to, "as far as can be booked")
	w.diary.mu.Unlock()
	read := w.api("GET", "/me/calendar", pat)
	apitest.Golden(t, "read", read, apitest.MaskMember("createdAt"))
	require.Equal(t, http.StatusNotFound, w.api("GET", "/me/calendar", ann).Status, "another user has none")
	require.Equal(t, http.StatusNotFound, w.api("DELETE", "/me/calendar", ann).Status)

	require.Equal(t, http.StatusNoContent, w.api("DELETE", "/me/calendar", pat).Status)
	require.Equal(t, http.StatusNotFound, w.reads(address).Status)
	require.Equal(t, http.StatusNotFound, w.reads(address, "If-None-Match", got.ETag()).Status,
		"not even that nothing has changed")
	require.Equal(t, http.StatusNotFound, w.api("GET", "/me/calendar", pat).Status)
	require.Equal(t, 1, w.audited("calendar.create"))
	require.Equal(t, 1, w.audited("calendar.revoke"))
}

// A feed says when appointments are, and nothing else: not with whom, and not why.
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
	feed := sheet(t, w.reads(w.make(pat)).Raw)
	status := map[string]string{}
	for _, e := range feed.Events() {
		status[value(t, e.Props, "UID")] = value(t, e.Props, "STATUS")
		require.Equal(t, "Appointment", value(t, e.Props, "SUMMARY"))
		id, _, _ := strings.Cut(value(t, e.Props, "UID"), "@")
		require.Equal(t, "https://clinic.example/appointments/"+id, value(t, e.Props, "URL"))
		require.Equal(t, []string{
			"CLASS", "DTEND", "DTSTAMP", "DTSTART", "LAST-MODIFIED", "ORGANIZER", "SEQUENCE", "STATUS", "SUMMARY", "TRANSP",
			"UID", "URL",
		}, names(e.Props))
	}
	require.Equal(t, map[string]string{
		"APP0000000001@housecall": "CONFIRMED", "APP0000000002@housecall": "CONFIRMED",
		"APP0000000003@housecall": "CONFIRMED",
	}, status, "programs that ignore STATUS would show a cancelled one as if it took place")
}

func TestRoutes_AnotherAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(pat, auth.Patient)
	first := w.make(pat)
	require.Equal(t, http.StatusOK, w.reads(first).Status)
	second := w.make(pat)
	require.NotEqual(t, first, second)
	require.Equal(t, http.StatusNotFound, w.reads(first).Status)
	require.Nil(t, w.api("GET", "/me/calendar", pat).Body["lastReadAt"], "the new one was never read")
	require.Equal(t, http.StatusOK, w.reads(second).Status)
}

func TestRoutes_DisabledUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(pat, auth.Patient)
	address := w.make(pat)
	require.Equal(t, http.StatusOK, w.reads(address).Status)
	w.exec(`update users set disabled_at = now()`)
	require.Equal(t, http.StatusNotFound, w.reads(address).Status)
	w.exec(`update users set disabled_at = null`)
	require.Equal(t, http.StatusOK, w.reads(address).Status)
}

// Feeds that never existed and revoked ones get the same answer, and no variation of the route leads to a feed.
func TestRoutes_NoSuchFeed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(pat, auth.Patient)
	address := w.make(pat)
	secret := secretOf(address)
	w.api("DELETE", "/me/calendar", pat)
	gone := w.reads(address)
	delete(gone.Body, "requestId")
	for _, other := range []string{
		"x", strings.Repeat("A", 43), strings.ToLower(secret) + "x", "%27%20or%201=1", "..", "a.ics",
		strings.Repeat("x", 2000),
	} {
		a := w.reads("https://clinic.example/calendar/" + other + ".ics")
		require.Equal(t, http.StatusNotFound, a.Status, other)
		delete(a.Body, "requestId")
		if other != ".." && other != "a.ics" { // these paths are other routes
			require.Equal(t, gone.Body, a.Body, other)
		}
		require.NotContains(t, string(a.Raw), secret)
	}
	for _, path := range []string{
		"/calendar/.ics", "/calendar/", "/calendar", "/calendar/" + secret, "/calendar/a/b.ics",
		"/api/v1/calendar/" + secret + ".ics",
	} {
		require.Equal(t, http.StatusNotFound, w.reads("https://clinic.example"+path).Status, path)
	}
	require.Equal(t, http.StatusUnprocessableEntity, w.reads("https://clinic.example/calendar/%00.ics").Status)
	post := w.feeds.Ask("POST", w.here(address), "", nil)
	require.Equal(t, http.StatusMethodNotAllowed, post.Status)
}

func TestRoutes_Conditions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.user(pat, auth.Patient)
	address := w.make(pat)
	first := w.reads(address)
	require.Equal(t, "Tue, 03 Mar 2026 09:00:00 GMT", first.Header.Get("Last-Modified"))
	require.Regexp(t, `^"[A-Za-z0-9_-]{22}(-gzip)?"$`, first.ETag())
	const long = "Mon, 02 Mar 2026 09:00:00 GMT"
	for name, c := range map[string]struct {
		headers []string
		status  int
	}{
		"the tag":          {[]string{"If-None-Match", first.ETag()}, http.StatusNotModified},
		"the tag, as weak": {[]string{"If-None-Match", "W/" + first.ETag()}, http.StatusNotModified},
		"among others":     {[]string{"If-None-Match", `"a", ` + first.ETag() + `,"b"`}, http.StatusNotModified},
		"any":              {[]string{"If-None-Match", "*"}, http.StatusNotModified},
		"another tag":      {[]string{"If-None-Match", `"a"`}, http.StatusOK},
		"the time":         {[]string{"If-Modified-Since", first.Header.Get("Last-Modified")}, http.StatusNotModified},
		"an older time":    {[]string{"If-Modified-Since", long}, http.StatusOK},
		"no time":          {[]string{"If-Modified-Since", "yesterday"}, http.StatusOK},
		"both": {
			[]string{"If-None-Match", first.ETag(), "If-Modified-Since", first.Header.Get("Last-Modified")},
			http.StatusNotModified,
		},
		"the tag decides: yes": {[]string{"If-None-Match", first.ETag(), "If-Modified-Since", long}, http.StatusNotModified},
		"the tag decides: no": {
			[]string{"If-None-Match", `"a"`, "If-Modified-Since", first.Header.Get("Last-Modified")}, http.StatusOK,
		},
	} {
		got := w.reads(address, c.headers...)
		require.Equal(t, c.status, got.Status, name)
		require.Equal(t, first.ETag(), got.ETag(), name)
		require.Equal(t, first.Header.Get("Last-Modified"), got.Header.Get("Last-Modified"), name)
		require.Equal(t, "private, no-cache", got.Header.Get("Cache-Control"), name)
		require.Equal(t, c.status == http.StatusOK, len(got.Raw) > 0, name)
	}
	head := w.feeds.Ask("HEAD", w.here(address), "", nil)
	require.Equal(t, http.StatusOK, head.Status)
	require.Equal(t, plain(first.ETag()), plain(head.ETag()))
	require.Empty(t, head.Raw)

	// A change within the second of the first read must not look as old as that read.
	w.diary.set(id, visit("APP0000000001", "BOOKED", 1, tuesday))
	w.pass(200 * time.Millisecond)
	second := w.reads(address, "If-Modified-Since", first.Header.Get("Last-Modified"))
	require.Equal(t, http.StatusOK, second.Status)
	require.NotEqual(t, first.ETag(), second.ETag())
	require.Empty(t, second.Header.Get("Last-Modified"), "it would lie in the future")
	w.pass(time.Second)
	again := w.reads(address, "If-Modified-Since", first.Header.Get("Last-Modified"))
	require.Equal(t, http.StatusOK, again.Status)
	require.Equal(t, "Tue, 03 Mar 2026 09:00:01 GMT", again.Header.Get("Last-Modified"))
	require.Equal(t, http.StatusNotModified,
		w.reads(address, "If-Modified-Since", again.Header.Get("Last-Modified")).Status)

	// A removal is a change like any other, although it makes nothing in the feed newer.
	w.diary.set(id)
	w.pass(time.Hour)
	third := w.reads(address, "If-Modified-Since", again.Header.Get("Last-Modified"))
	require.Equal(t, http.StatusOK, third.Status)
	require.Equal(t, first.ETag(), third.ETag())
	require.Equal(t, "Tue, 03 Mar 2026 10:00:01 GMT", third.Header.Get("Last-Modified"))
	require.Equal(t, "2026-03-03T10:00:01.500000Z", w.api("GET", "/me/calendar", pat).Body["lastReadAt"])
	w.pass(59 * time.Second)
	require.Equal(t, http.StatusNotModified, w.reads(address, "If-None-Match", third.ETag()).Status)
	require.Equal(t, "2026-03-03T10:00:01.500000Z", w.api("GET", "/me/calendar", pat).Body["lastReadAt"], "accurate to a minute")
	w.pass(time.Second)
	require.Equal(t, http.StatusNotModified, w.reads(address, "If-None-Match", third.ETag()).Status)
	require.Equal(t, "2026-03-03T10:01:01.500000Z", w.api("GET", "/me/calendar", pat).Body["lastReadAt"])
	require.Equal(t, third.Header.Get("Last-Modified"), w.reads(address).Header.Get("Last-Modified"))
}

// However many create a feed at once, one address leads to it, and somebody was given that address.
func TestRoutes_OneAddressWorks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(pat, auth.Patient)
	addresses := make([]string, 24)
	var all errgroup.Group
	for i := range addresses {
		all.Go(func() error {
			a, err := w.rest.Try("POST", "/me/calendar", pat, nil)
			if err == nil && a.Status == http.StatusCreated {
				addresses[i] = a.Body["url"].(string)
			}
			return err
		})
	}
	require.NoError(t, all.Wait())
	working := 0
	for _, address := range addresses {
		require.NotEmpty(t, address)
		if w.reads(address).Status == http.StatusOK {
			working++
		}
	}
	require.Equal(t, 1, working)
	require.Equal(t, len(addresses), w.audited("calendar.create"))
}

// Reads while the feed is revoked find it or get 404; they do not fail otherwise, and do not bring it back.
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
			a, err := w.feeds.Try("GET", address, "", nil)
			statuses[i] = a.Status
			return err
		})
		if i == len(statuses)/2 {
			all.Go(func() error {
				a, err := w.rest.Try("DELETE", "/me/calendar", pat, nil)
				revoked = a.Status
				return err
			})
		}
	}
	require.NoError(t, all.Wait())
	require.Equal(t, http.StatusNoContent, revoked)
	for _, s := range statuses {
		require.Contains(t, []int{http.StatusOK, http.StatusNotFound}, s)
	}
	a := w.feeds.Ask("GET", address, "", nil)
	require.Equal(t, http.StatusNotFound, a.Status)
}

func TestRoutes_Throttled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(pat, auth.Patient)
	w.make(pat)
	var last answer
	for range 20 * readsPerAddress.N { // more come back while they are used up, but not as fast
		if last = w.reads("https://clinic.example/calendar/guess.ics"); last.Status != http.StatusNotFound {
			break
		}
	}
	require.Equal(t, http.StatusTooManyRequests, last.Status)
	require.Equal(t, "rate_limited", last.Body["code"])
	require.NotEmpty(t, last.Header.Get("Retry-After"))
	require.Equal(t, http.StatusOK, w.api("GET", "/me/calendar", pat).Status, "the owner's routes do not count")
}

// Only its owner has the secret.
func TestRoutes_SecretStaysSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(pat, auth.Patient)
	address := w.make(pat)
	secret := secretOf(address)
	require.Equal(t, http.StatusOK, w.reads(address).Status)
	w.api("DELETE", "/me/calendar", pat)
	require.Equal(t, http.StatusNotFound, w.reads(address).Status)
	w.make(pat)

	log := w.log.String()
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
