package app

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	cdptarget "github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/config"
	"housecall/internal/testing/pgtest"
)

var screens = flag.String("screens", "", "a folder into which the tests of the browser write pictures")

// clinic has two instances, a cable to each, a patient and a doctor, and a browser.
type clinic struct {
	*world
	browser         *browser
	cables          [2]*cable
	patient, doctor *person
	appointment     string
}

func newClinic(t *testing.T, change ...func(*config.Config)) *clinic {
	t.Helper()
	long(t)
	c := &clinic{cables: [2]*cable{newCable(t), newCable(t)}}
	change = append(change,
		func(cfg *config.Config) { cfg.AllowedOrigins = []string{c.cables[0].url(), c.cables[1].url()} })
	c.world = newWorld(t, 2, change...)
	for i, cable := range c.cables {
		cable.leads(c.apps[i].Addr())
	}
	c.patient, c.doctor = c.person(auth.Patient), c.person(auth.Doctor)
	c.appointment = c.world.book(c.patient.at(0), c.doctor.at(1))
	c.browser = newBrowser(t)
	return c
}

// page returns the URL of the conversation, over the cable with that number.
func (c *clinic) page(n int) string { return c.cables[n].url() + "/appointments/" + c.appointment }

// browser is a test's part of the one Chromium without a screen that all tests of this process share: starting it costs
// more than most of them.
type browser struct {
	t   *testing.T
	ctx context.Context
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	ctx, err := chromiums.run(t)
	require.NoError(t, err, "Chromium starts")
	return &browser{t, ctx}
}

// chromiums has the browser that runs.
var chromiums oneChromium

type oneChromium struct {
	mu  sync.Mutex
	ctx context.Context // nil while none runs
}

// run returns the context of the browser, which is started if none runs, and ends with the tests.
func (o *oneChromium) run(t *testing.T) (context.Context, error) {
	t.Helper()
	path := chromium(t)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ctx != nil && o.ctx.Err() == nil {
		return o.ctx, nil
	}
	dir, err := os.MkdirTemp("", "housecall-chromium-")
	if err != nil {
		return nil, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.WindowSize(1100, 800), chromedp.UserDataDir(dir))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // otherwise it does not run as root
	}
	alloc, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(alloc)
	pgtest.AtEnd(func() error {
		_ = chromedp.Cancel(ctx) // fails only if it has died already
		cancel()
		stop()
		return os.RemoveAll(dir)
	})
	if err := chromedp.Run(ctx); err != nil {
		return nil, err
	}
	o.ctx = ctx
	return ctx, nil
}

// chromium returns the path of the browser.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{
		"chromium", "chromium-browser", "google-chrome", "google-chrome-stable",
		"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "/Applications/Chromium.app/Contents/MacOS/Chromium",
	} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("Chromium is not installed, and without it the chat client for browsers is not tested: " +
		"run `deploy/setup.sh test` (`make test` does), or install your system's package chromium")
	return ""
}

// profile is one person's profile in the browser, until the test ends: it shares neither storage nor tabs with others.
func (b *browser) profile() cdp.BrowserContextID {
	b.t.Helper()
	var id cdp.BrowserContextID
	b.asks(func(ctx context.Context) (err error) {
		id, err = cdptarget.CreateBrowserContext().Do(ctx)
		return err
	})
	b.t.Cleanup(func() { b.asks(cdptarget.DisposeBrowserContext(id).Do) })
	return id
}

// asks has the browser itself do something, not a tab.
func (b *browser) asks(do func(ctx context.Context) error) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Run(b.ctx, chromedp.ActionFunc(func(ctx context.Context) error {
		return do(cdp.WithExecutor(ctx, chromedp.FromContext(ctx).Browser))
	})))
}

// tab is one of somebody's tabs.
type tab struct {
	t     *testing.T
	ctx   context.Context
	close func()

	mu       sync.Mutex // guards the rest
	sockets  int        // sockets that it opened or tried to open
	failures []string   // violations of the policy, and errors of scripts
}

// policing turns violations of a page's policy into errors that hear sees.
const policing = `addEventListener("securitypolicyviolation", (e) => console.error("forbidden: " + e.violatedDirective + " " + e.blockedURI));`

func (b *browser) tab(who cdp.BrowserContextID) *tab {
	b.t.Helper()
	var id cdptarget.ID
	b.asks(func(ctx context.Context) (err error) {
		id, err = cdptarget.CreateTarget("about:blank").WithBrowserContextID(who).WithNewWindow(true).Do(ctx)
		return err
	})
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithTargetID(id))
	t := &tab{t: b.t, ctx: ctx, close: cancel}
	b.t.Cleanup(func() {
		cancel()
		t.mu.Lock()
		defer t.mu.Unlock()
		require.Empty(b.t, t.failures, "a page reported an error")
	})
	chromedp.ListenTarget(ctx, t.hear)
	// The first run makes the tab; its context must not end with the run.
	require.NoError(b.t, chromedp.Run(ctx, network.Enable(), cdplog.Enable(), emulation.SetFocusEmulationEnabled(true),
		chromedp.ActionFunc(func(ctx context.Context) error {
			_, err := page.AddScriptToEvaluateOnNewDocument(policing).Do(ctx)
			return err
		})))
	return t
}

func (t *tab) hear(event any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch e := event.(type) {
	case *network.EventWebSocketCreated:
		t.sockets++
	case *runtime.EventExceptionThrown:
		t.failures = append(t.failures, e.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError {
			for _, a := range e.Args {
				t.failures = append(t.failures, string(a.Value))
			}
		}
	case *cdplog.EventEntryAdded:
		if e.Entry.Source == cdplog.SourceSecurity || strings.Contains(e.Entry.Text, "Content Security Policy") {
			t.failures = append(t.failures, e.Entry.Text)
		}
	}
}

// opened returns how many sockets the tab has asked for.
func (t *tab) opened() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sockets
}

func (t *tab) run(actions ...chromedp.Action) {
	t.t.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	require.NoError(t.t, chromedp.Run(ctx, actions...))
}

// goes opens a URL.
func (t *tab) goes(url string) { t.t.Helper(); t.run(chromedp.Navigate(url)) }

func await(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }

// eval evaluates an expression, or awaits its promise, and returns the result by way of JSON.
func (t *tab) eval(expression string, into any) {
	t.t.Helper()
	t.run(chromedp.Evaluate(expression, into, await))
}

// waits waits until an expression is true in the page. The page polls it, because the policy forbids chromedp's own
// way.
func (t *tab) waits(what, expression string) {
	t.t.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	look := chromedp.Evaluate(fmt.Sprintf(`new Promise((done) => {
		const look = () => {
			let ok = false;
			try { ok = Boolean(%s); } catch {}
			if (ok) done(true);
			else setTimeout(look, 20);
		};
		look();
	})`, expression), nil, await)
	err := chromedp.Run(ctx, look)
	for leftPage(err) { // another page is coming, which has to be asked instead
		err = chromedp.Run(ctx, look)
	}
	if err != nil {
		var shown string
		_ = chromedp.Run(t.ctx,
			chromedp.Evaluate(`(document.querySelector("#main")?.dataset.state ?? "") + "\n" + document.body.innerText`, &shown))
		t.t.Fatalf("%s: %v; the page shows:\n%s", what, err, shown)
	}
}

// leftPage tells whether an evaluation failed because another page has replaced its page.
func leftPage(err error) bool {
	if err == nil {
		return false
	}
	for _, words := range []string{"navigated or closed", "Cannot find context", "context was destroyed", "context with specified id"} {
		if strings.Contains(err.Error(), words) {
			return true
		}
	}
	return false
}

// signsIn fills in and sends the form.
func (t *tab) signsIn(p *person) {
	t.t.Helper()
	t.waits("the form to sign in", `document.querySelector("#login")`)
	t.run(chromedp.SendKeys("#login", p.email, chromedp.ByID),
		chromedp.SendKeys("#password", password+"\r", chromedp.ByID))
}

const isLive = `document.querySelector("#main").dataset.state === "live"`

// opens signs in at a conversation and waits until it is live.
func (t *tab) opens(url string, p *person) {
	t.t.Helper()
	t.goes(url)
	t.signsIn(p)
	t.waits("the conversation is live", isLive)
}

// says types a message and sends it.
func (t *tab) says(text string) {
	t.t.Helper()
	quoted, err := json.Marshal(text)
	require.NoError(t.t, err)
	t.eval(`(() => {
		const field = document.querySelector("#text");
		field.value = `+string(quoted)+`;
		field.dispatchEvent(new Event("input", { bubbles: true }));
		document.querySelector("#composer").requestSubmit();
	})()`, nil)
}

// messages returns the texts that are shown, in order, without waiting ones.
func (t *tab) messages() (texts []string) {
	t.t.Helper()
	t.eval(`[...document.querySelectorAll("#log .bubble .text")].map((e) => e.textContent)`, &texts)
	return texts
}

// shows waits until a number of messages are shown and none is waiting.
func (t *tab) shows(n int) {
	t.t.Helper()
	t.waits(
		fmt.Sprintf("%d messages are shown, and none waits", n),
		fmt.Sprintf(`document.querySelectorAll("#log .bubble").length === %d && !document.querySelector("#pending .bubble")`,
			n),
	)
}

// keeps waits until a number of messages are waiting in IndexedDB.
func (t *tab) keeps(n int) {
	t.t.Helper()
	t.waits(fmt.Sprintf("the browser keeps %d messages", n), fmt.Sprintf(`(() => {
		const open = indexedDB.open("housecall-chat");
		open.onsuccess = () => {
			const count = open.result.transaction("drafts").objectStore("drafts").count();
			count.onsuccess = () => {
				window.keptNow = count.result;
				open.result.close();
			};
		};
		return window.keptNow === %d;
	})()`, n))
}

// online has the browser announce again and again that there is a network, until the page is live.
func (t *tab) online() {
	t.t.Helper()
	t.waits("the conversation is live again", `(() => {
		if (document.querySelector("#main").dataset.state === "waiting") dispatchEvent(new Event("online"));
		return `+isLive+`;
	})()`)
}

// screen takes a screenshot if they are wanted.
func (t *tab) screen(name string, width, height int64, dark bool) {
	if *screens == "" {
		return
	}
	scheme := map[bool]string{false: "light", true: "dark"}[dark]
	var png []byte
	t.run(
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}),
		chromedp.EmulateViewport(width, height), chromedp.CaptureScreenshot(&png),
	)
	require.NoError(t.t, os.MkdirAll(*screens, 0o755))
	require.NoError(t.t, os.WriteFile(filepath.Join(*screens, name+".png"), png, 0o600))
}
