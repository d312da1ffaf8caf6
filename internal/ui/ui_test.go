package ui

import (
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/account"
	"housecall/internal/config"
)

// A link from an email, from beginning to end: scanners may open it as often as they like, and it works once.
func TestPages_Reset(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.admin("ann@example.org")
	token := h.forgets("ann@example.org")
	link, err := url.Parse(Links{PublicURL: h.cfg.PublicURL}.PasswordReset(token))
	require.NoError(t, err)
	for range 3 {
		shown := h.get(link.RequestURI())
		require.Equal(t, 200, shown.Status)
		golden(t, "reset", shown.String(), token)
	}
	require.Equal(t, 200, h.do("HEAD", link.RequestURI(), "").Status)

	for name, values := range map[string][]string{
		"short":     {"password", "short", "again", "short"},
		"usual":     {"password", "qwertyuiop", "again", "qwertyuiop"},
		"different": {"password", newPassword, "again", "something else"},
		"nothing":   {},
	} {
		a := h.post("/reset", append(values, "token", token)...)
		require.Equal(t, 422, a.Status, name)
		golden(t, "reset_"+name, a.String(), token)
	}
	require.NoError(t, h.signsIn("ann@example.org", testPassword), "nothing has changed yet")

	done := h.post("/reset", "token", token, "password", newPassword, "again", newPassword)
	require.Equal(t, 200, done.Status, done.String())
	golden(t, "reset_done", done.String(), "")
	require.NoError(t, h.signsIn("ann@example.org", newPassword))
	late := h.post("/reset", "token", token, "password", "yet another one", "again", "yet another one")
	require.Equal(t, 404, late.Status)
	golden(t, "reset_used", late.String(), "")
	require.ErrorIs(t, h.signsIn("ann@example.org", "yet another one"), account.ErrBadCredentials)
}

func TestPages_Verify(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	_, invitation := h.invites("doc@example.org")
	shown := h.get("/invitation?token=" + invitation)
	require.Equal(t, 200, shown.Status)
	golden(t, "invitation", shown.String(), invitation)
	refused := h.post("/invitation", "token", invitation, "password", "doc@example.org", "again", "doc@example.org")
	require.Equal(t, 422, refused.Status)
	accepted := h.post("/invitation", "token", invitation, "password", newPassword, "again", newPassword)
	require.Equal(t, 200, accepted.Status, accepted.String())
	golden(t, "invitation_done", accepted.String(), "")
	require.NoError(t, h.signsIn("doc@example.org", newPassword))
	used := h.post("/invitation", "token", invitation, "password", newPassword, "again", newPassword)
	require.Equal(t, 404, used.Status)
	golden(t, "invitation_used", used.String(), "")

	token := h.mail.last().token
	for range 3 {
		shown := h.get("/verify?token=" + token)
		require.Equal(t, 200, shown.Status)
		golden(t, "verify", shown.String(), token)
	}
	u, err := h.accounts.FindByEmail(t.Context(), h.pool, "doc@example.org")
	require.NoError(t, err)
	require.False(t, u.EmailVerified, "looking is not confirming")
	done := h.post("/verify", "token", token)
	require.Equal(t, 200, done.Status, done.String())
	golden(t, "verify_done", done.String(), "")
	u, err = h.accounts.FindByEmail(t.Context(), h.pool, "doc@example.org")
	require.NoError(t, err)
	require.True(t, u.EmailVerified)
	again := h.post("/verify", "token", token)
	require.Equal(t, 404, again.Status)
	golden(t, "verify_used", again.String(), "")
}

func TestPages_Verify_TakenMeanwhile(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ann := h.admin("ann@example.org")
	in, err := h.accounts.Login(t.Context(), "ann@example.org", testPassword, here)
	require.NoError(t, err)
	by, _, err := h.accounts.Authenticate(t.Context(), in.AccessToken)
	require.NoError(t, err)
	require.Equal(t, ann.ID, by.ID)
	require.NoError(t, h.accounts.ChangeEmail(t.Context(), by, testPassword, "family@example.org"))
	token := h.mail.last().token
	h.admin("family@example.org")
	a := h.post("/verify", "token", token)
	require.Equal(t, 409, a.Status)
	golden(t, "verify_taken", a.String(), "")
}

func TestPages_Forgot(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.admin("ann@example.org")
	shown := h.get("/forgot")
	require.Equal(t, 200, shown.Status)
	golden(t, "forgot", shown.String(), "")
	for name, login := range map[string]string{"none": "", "blank": "  ", "too long": strings.Repeat("x", loginMax+1)} {
		a := h.post("/forgot", "login", login)
		require.Equal(t, 422, a.Status, name)
		golden(t, "forgot_empty", a.String(), "")
	}
	known, unknown := h.post("/forgot", "login", "Ann@example.org "), h.post("/forgot", "login", "nobody@example.org")
	require.Equal(t, 200, known.Status)
	require.Equal(t, unknown.Status, known.Status)
	require.Equal(t, unknown.String(), known.String())
	golden(t, "forgot_done", known.String(), "")
	require.Equal(t, 1, h.mail.count())
	require.Equal(t, 200,
		h.post("/reset", "token", h.mail.last().token, "password", newPassword, "again", newPassword).Status)
}

// What emails report can only be seen after signing in: the page says so, and looks nothing up.
func TestPages_Signpost(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	a := h.get("/waitlist/anything")
	require.Equal(t, 200, a.Status)
	golden(t, "signpost", a.String(), "")
}

func TestPages_Throttled(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(c *config.Config) { c.LoginsPerAddress = 1 })
	require.Equal(t, 404, h.post("/verify", "token", "a guess").Status)
	a := h.post("/verify", "token", "another guess")
	require.Equal(t, 429, a.Status)
	require.NotEmpty(t, a.Header.Get("Retry-After"))
	golden(t, "verify_throttled", a.String(), "another guess")
	require.Equal(t, 200, h.post("/forgot", "login", "x").Status)
	require.Equal(t, 429, h.post("/forgot", "login", "y").Status)
}

func TestPages_IncompleteLink(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, path := range []string{"/verify", "/invitation", "/reset"} {
		for _, query := range []string{"", "?token=", "?other=x", "?token=" + strings.Repeat("x", tokenMax+1)} {
			a := h.get(path + query)
			require.Equal(t, 404, a.Status, path+query)
			require.Contains(t, a.String(), "incomplete")
			require.NotContains(t, a.String(), "<form")
		}
		for _, token := range []string{"", strings.Repeat("x", tokenMax+1)} {
			require.Equal(t, 404, h.post(path, "token", token, "password", newPassword, "again", newPassword).Status)
		}
	}
}

// The contents of an address or a form are text to a page, never HTML.
func TestPages_Escape(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const evil = `"><script>alert(1)</script><a href='javascript:x'`
	for _, path := range []string{"/verify", "/invitation", "/reset"} {
		for _, a := range []answer{
			h.get(path + "?token=" + url.QueryEscape(evil)),
			h.post(path, "token", evil, "password", evil, "again", "x"),
		} {
			require.NotContains(t, a.String(), "<script")
			require.NotContains(t, a.String(), "javascript:x'")
		}
	}
	a := h.get("/reset?token=" + url.QueryEscape(evil))
	require.Equal(t, 200, a.Status)
	require.Contains(t, a.String(), `value="&#34;&gt;&lt;script&gt;`)
	require.NotContains(t, h.post("/forgot", "login", evil).String(), "alert(1)")
}

func TestPages_Headers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, a := range []answer{
		h.get("/reset?token=x"), h.get("/reset"), h.post("/verify", "token", "x"), h.get("/forgot"), h.post("/forgot", "login", ""),
	} {
		require.Equal(t, "text/html; charset=utf-8", a.Header.Get("Content-Type"))
		require.Equal(t, policy, a.Header.Get("Content-Security-Policy"))
		require.Equal(t, "no-referrer", a.Header.Get("Referrer-Policy"))
		require.Equal(t, "no-store", a.Header.Get("Cache-Control"))
		require.Equal(t, "nosniff", a.Header.Get("X-Content-Type-Options"))
		require.Equal(t, "DENY", a.Header.Get("X-Frame-Options"))
		require.NotRegexp(t, `(?i)<script|<style|style=|\son[a-z]+=|https?://`, a.String(),
			"the policy forbids what is not here")
	}
	for _, m := range regexp.MustCompile(`(?:href|action)="([^"]*)"`).FindAllStringSubmatch(h.get("/reset?token=x").String(), -1) {
		require.Contains(t, []string{stylePath, "/reset"}, m[1])
	}
	style := h.get(stylePath)
	require.Equal(t, 200, style.Status)
	require.Equal(t, "text/css; charset=utf-8", style.Header.Get("Content-Type"))
	require.Equal(t, "public, max-age=3600", style.Header.Get("Cache-Control"))
	require.NotContains(t, style.String(), "url(")
}

// A form counts only if it was sent from one of our pages.
func TestPages_Origin(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.admin("ann@example.org")
	host := strings.TrimPrefix(h.site.Root, "http://")
	send := func(headers ...string) int {
		return h.do(
			"POST", "/verify", "token=x",
			append(headers, "Content-Type", "application/x-www-form-urlencoded")...).Status
	}
	for name, headers := range map[string][]string{
		"a browser":                     {"Origin", "null", "Sec-Fetch-Site", "same-origin"},
		"one in which it was reloaded":  {"Sec-Fetch-Site", "none"},
		"one without metadata":          {"Origin", "null"},
		"one that names the public URL": {"Origin", "https://house.example"},
		"one that names the host":       {"Origin", "http://" + host},
		"no browser":                    {},
	} {
		require.Equal(t, 404, send(headers...), "%s: it is the token that is refused", name)
	}
	for name, headers := range map[string][]string{
		"a foreign page":         {"Origin", "null", "Sec-Fetch-Site", "cross-site"},
		"a neighbour":            {"Origin", "https://house.example", "Sec-Fetch-Site", "same-site"},
		"an old browser's":       {"Origin", "https://evil.example"},
		"one with our beginning": {"Origin", "https://house.example.evil.example"},
		"nonsense":               {"Origin", "::"},
	} {
		require.Equal(t, 403, send(headers...), name)
	}
	foreign := h.do("POST", "/forgot", "login=ann@example.org", "Content-Type", "application/x-www-form-urlencoded",
		"Sec-Fetch-Site", "cross-site")
	require.Equal(t, 403, foreign.Status)
	require.Zero(t, h.mail.count())
}

func TestPages_BadForms(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for name, c := range map[string]struct {
		kind, body string
		status     int
	}{
		"JSON":          {"application/json", `{"token":"x"}`, 400},
		"multipart":     {"multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\nx\r\n--x--\r\n", 400},
		"no type":       {"", "token=x", 400},
		"NUL":           {"application/x-www-form-urlencoded", "login=x%00&token=x", 422},
		"NUL in a name": {"application/x-www-form-urlencoded", "login=x&token=x&%00=1", 422},
		"not UTF-8":     {"application/x-www-form-urlencoded", "login=%ff&token=%ff", 422},
	} {
		for _, path := range []string{"/verify", "/forgot"} {
			a := h.do("POST", path, c.body, "Content-Type", c.kind)
			require.Equal(t, c.status, a.Status, "%s to %s", name, path)
			require.Equal(t, "text/html; charset=utf-8", a.Header.Get("Content-Type"), name)
		}
	}
	require.Equal(t, 405, h.do("PUT", "/verify", "").Status)
}

// The log has no tokens, passwords or addresses. It has the cause of a failure, which the page does not show.
func TestPages_Log(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.admin("ann@example.org")
	token := h.forgets("ann@example.org")
	h.get("/reset?token=" + token)
	h.post("/reset", "token", token, "password", newPassword, "again", "not the same one")
	_, err := h.pool.Exec(t.Context(), `alter table mail_tokens rename to away`)
	require.NoError(t, err)
	broken := h.post("/reset", "token", token, "password", newPassword, "again", newPassword)
	require.Equal(t, 500, broken.Status)
	require.Contains(t, broken.String(), broken.Header.Get("X-Request-Id"))
	require.Contains(t, broken.String(), `value="`+token+`"`, "they can try again")
	require.NotContains(t, broken.String(), "mail_tokens")
	h.post("/forgot", "login", "ann@example.org")

	log := h.log.String()
	require.Contains(t, log, `"route":"/reset"`)
	require.Contains(t, log, "mail_tokens", "the cause is logged")
	for _, secret := range []string{token, newPassword, "not the same one", "ann@example.org"} {
		require.NotContains(t, log, secret)
	}
}

func FuzzRender(f *testing.F) {
	for _, s := range []string{"", "token", `"><script>`, "\x00", "\xff", "</title>", "{{.}}"} {
		f.Add(s)
	}
	tags := regexp.MustCompile(`<[a-zA-Z/!]`)
	f.Fuzz(func(t *testing.T, s string) {
		whole := func(text string) int {
			p := resetPage.with(text, map[string]string{fieldPassword: "x" + text})
			p.Alert = "x" + text
			b, err := render(p)
			require.NoError(t, err)
			return len(tags.FindAll(b, -1))
		}
		require.Equal(t, whole("harmless"), whole("x"+s), "what is shown adds no element")
	})
}
