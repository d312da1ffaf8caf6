package app

import (
	"context"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"housecall/internal/config"
)

// In a browser without storage and locks, as some are in private windows, waiting messages last as long as the page.
func TestBrowser_Bare(t *testing.T) {
	c := newClinic(t)
	p, d := c.browser.tab(c.browser.profile()), c.browser.tab(c.browser.profile())
	p.run(chromedp.ActionFunc(func(ctx context.Context) error {
		_, err := page.AddScriptToEvaluateOnNewDocument(`
			Object.defineProperty(globalThis, "indexedDB", { value: undefined });
			Object.defineProperty(Navigator.prototype, "locks", { value: undefined });`).Do(ctx)
		return err
	}))
	p.opens(c.page(0), c.patient)
	d.opens(c.page(1), c.doctor)
	var bare bool
	p.eval(`globalThis.indexedDB === undefined && navigator.locks === undefined`, &bare)
	require.True(t, bare)
	c.cables[0].set(pulled)
	p.waits("it is said that there is no connection", `!document.querySelector("#banner").hidden`)
	p.says("offline 0")
	p.says("offline 1")
	p.waits("they wait", `document.querySelectorAll("#pending .waiting").length === 2`)
	c.cables[0].set(whole)
	p.online()
	p.shows(2)
	d.shows(2)
	require.Equal(t, []string{"offline 0", "offline 1"}, d.messages())
	p.run(chromedp.Click("#sign-out", chromedp.ByID))
	p.waits("the form to sign in is shown", `document.querySelector("#login")`)
}

// A user whose typing is not repeated has stopped, even if their connection lasts.
func TestBrowser_TypingExpires(t *testing.T) {
	c := newClinic(t)
	d := c.browser.tab(c.browser.profile())
	d.opens(c.page(1), c.doctor)
	patient := join(t, c.patient.at(0), c.appointment)
	d.waits("the patient is there", `document.querySelector("#presence").textContent === "online"`)
	patient.conv.Typing(true)
	d.waits("they are seen typing", `document.querySelector("#typing").textContent.includes("typing")`)
	d.waits("no longer", `document.querySelector("#typing").textContent === ""`)
	var presence string
	d.eval(`document.querySelector("#presence").textContent`, &presence)
	require.Equal(t, "online", presence)
	require.Empty(t, patient.codes, "their connection stayed open")
}

// A connection over which nothing comes any more is noticed and replaced.
func TestBrowser_Silence(t *testing.T) {
	c := newClinic(t)
	p, d := c.browser.tab(c.browser.profile()), c.browser.tab(c.browser.profile())
	p.opens(c.page(0), c.patient)
	d.opens(c.page(1), c.doctor)
	c.cables[0].set(muted)
	d.says("can you hear me?")
	p.eval(`dispatchEvent(new Event("online"))`, nil) // makes the page check its connection
	p.waits("it is given up", `document.querySelector("#main").dataset.state !== "live"`)
	c.cables[0].set(whole)
	p.online()
	p.shows(1)
	require.Equal(t, []string{"can you hear me?"}, p.messages())
}

// A connection beyond the limit waits until there is room.
func TestBrowser_TooMany(t *testing.T) {
	c := newClinic(t, func(cfg *config.Config) { cfg.SocketsPerUser = 1 })
	who := c.browser.profile()
	a, b := c.browser.tab(who), c.browser.tab(who)
	a.opens(c.page(0), c.patient)
	b.goes(c.page(0))
	b.waits("it waits", `document.querySelector("#main").dataset.state === "waiting"`)
	require.Equal(t, 1, b.opened(), "and does not ask again at once")
	a.goes("about:blank")
	b.online()
	b.says("here now")
	b.shows(1)
}

// After each close, the module does what PROTOCOL.md's table says.
func TestBrowser_CloseCodes(t *testing.T) {
	c := newClinic(t)
	p := c.browser.tab(c.browser.profile())
	p.goes(c.cables[0].url() + "/inbox")
	var got map[string]any
	p.eval(`(async () => {
		const { Backoff } = await import("/static/chat/backoff.js");
		const half = () => new Backoff(() => 0.5);
		const after = (code, more = {}) => {
			const verdict = half().judge({ code, liveMs: 5000, ...more });
			return verdict.stop?.code ?? (verdict.renew ? "renew" : verdict.wait);
		};
		const { problemOf } = await import("/static/chat/rest.js");
		const page = await problemOf(new Response("<h1>404</h1>", { status: 404, headers: { "Content-Type": "text/html" } }));
		const row = half();
		return {
			restart: after(1012, { comeAfterMs: 1234 }),
			slow: after(4008), slowAtOnce: after(4008, { liveMs: 10 }), silent: after(4009), silentNeverLive: after(4009, { liveMs: 0 }),
			limits: after(4029), fault: after(4500), cut: after(1006), auth: after(4401),
			bug: after(4400), big: after(4413), forbidden: after(4403),
			tooMany: after(1006, { liveMs: 0, problem: { status: 429, code: "too_many_sockets", detail: "", retryAfterMs: 10000 } }),
			missing: after(1006, { liveMs: 0, problem: { status: 404, code: "not_found", detail: "" } }),
			balancer: after(1006, { liveMs: 0, problem: page }),
			grows: [1, 2, 3, 4, 5, 6, 7, 8].map(() => row.judge({ code: 4029, liveMs: 0 }).wait),
			anew: row.judge({ code: 4029, liveMs: 20000 }).wait,
		};
	})()`, &got)
	require.Equal(t, map[string]any{
		"restart": 1234.0,
		"slow":    0.0, "slowAtOnce": 500.0, "silent": 0.0, "silentNeverLive": 500.0,
		"limits": 500.0, "fault": 500.0, "cut": 500.0, "auth": "renew",
		"bug": "close_4400", "big": "close_4413", "forbidden": "close_4403",
		"tooMany": 10000.0, "missing": "not_found", "balancer": 500.0,
		"grows": []any{500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16000.0, 30000.0, 30000.0},
		"anew":  500.0,
	}, got)
}
