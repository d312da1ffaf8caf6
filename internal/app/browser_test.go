package app

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"housecall/internal/client"
	"housecall/internal/config"
)

const evil = `<img src=x onerror="document.title='broken'"><script>alert(1)</script>`

// The tests in browsers run one after the other, before the parallel ones: a browser needs the whole machine, and
// would delay other tests.

// Two people, each in a browser on their own instance, with everything that the chat's page shows.
func TestBrowser_Chat(t *testing.T) {
	rest := make(chan string)
	c := newClinic(t, withAssistant(machine(t, rest)))
	p, d := c.browser.tab(c.browser.profile()), c.browser.tab(c.browser.profile())

	p.goes(c.cables[0].url() + "/inbox")
	p.signsIn(c.patient)
	p.waits("the appointment is listed", `document.querySelector(".appointments a .status").textContent === "booked"`)
	p.run(chromedp.Click(".appointments a", chromedp.ByQuery))
	p.waits("the conversation is live", isLive)
	p.waits("nobody else is there", `document.querySelector("#presence").textContent === "offline"`)
	d.opens(c.page(1), c.doctor)
	p.waits("the doctor has come", `document.querySelector("#presence").textContent === "online"`)

	p.run(chromedp.SendKeys("#text", "Good mor", chromedp.ByID))
	d.waits("the patient is seen typing", `document.querySelector("#typing").textContent.includes("typing")`)
	p.run(chromedp.SendKeys("#text", "ning\r", chromedp.ByID))
	d.waits("the message arrives", `document.querySelector("#log .theirs .text").textContent === "Good morning"`)
	d.waits("who has sent is no longer typing", `document.querySelector("#typing").textContent === ""`)
	p.waits("the doctor has read it", `document.querySelector("#log .mine .ticks").dataset.state === "read"`)

	d.says(evil)
	p.waits("what looks like HTML is text",
		`[...document.querySelectorAll("#log .text")].at(-1).textContent.startsWith("<img")`)
	require.Equal(t, []string{"Good morning", evil}, p.messages())
	var made int
	p.eval(`document.querySelectorAll("#log img, #log script").length`, &made)
	require.Zero(t, made)

	d.run(chromedp.Click("#log .mine .menu summary", chromedp.ByQuery),
		chromedp.Click("#log .mine .menu button", chromedp.ByQuery))
	d.says("Good morning, how are you?")
	p.waits("it was corrected",
		`[...document.querySelectorAll("#log .text")].at(-1).textContent === "Good morning, how are you?"`)
	p.waits("and says so", `document.querySelector("#log .theirs .edited").checkVisibility()`)
	p.screen("chat-desktop-light", 1100, 800, false)
	p.screen("chat-phone-dark", 390, 780, true)
	d.run(chromedp.Click("#log .mine .menu summary", chromedp.ByQuery),
		chromedp.Click("#log .mine .menu button:last-child", chromedp.ByQuery))
	p.waits("it was retracted",
		`document.querySelector("#log .theirs.retracted .text").textContent === "This message was retracted."`)

	_, err := c.doctor.at(1).Cancel(c.context(), c.appointment, "Ill")
	require.NoError(t, err)
	p.waits("the page says why nobody can write",
		`document.querySelector("#closed").textContent.includes("cancelled") && document.querySelector("#composer").hidden`)
	p.goes(c.cables[0].url() + "/appointments/APP0000000000")
	p.waits("what is not one's own is not there", `document.querySelector("h1").textContent === "Conversation not found"`)
	p.asksTheAssistant(c.cables[0].url(), rest)
}

// The list of appointments shows what becomes unread while it is open.
func TestBrowser_Inbox(t *testing.T) {
	c := newClinic(t)
	p := c.browser.tab(c.browser.profile())
	p.goes(c.cables[0].url() + "/")
	p.signsIn(c.patient)
	p.waits("the appointment is listed", `document.querySelector(".appointments a .status").textContent === "booked"`)
	doctor := c.doctor.at(1)
	_, err := doctor.SendMessage(c.context(), c.appointment, client.NewClientID(), "Are you there?")
	require.NoError(t, err)
	p.waits("one message is unread", `document.querySelector(".appointments .badge:not([hidden])").textContent === "1"`)
	p.screen("inbox-phone-light", 390, 780, false)
	_, err = doctor.Cancel(c.context(), c.appointment, "Ill")
	require.NoError(t, err)
	p.waits("it was cancelled", `document.querySelector(".appointments a .status").textContent === "cancelled"`)
	p.run(chromedp.Click(".appointments a", chromedp.ByQuery))
	p.waits("the conversation is live", isLive)
	p.shows(1)
	p.goes(c.cables[0].url() + "/inbox")
	p.waits("it has been read",
		`document.querySelector(".appointments a .name").textContent !== "" && document.querySelector(".appointments .badge").hidden`)
}

// A file is chosen in one browser, and shown and saved in the other.
func TestBrowser_Attachment(t *testing.T) {
	c := newClinic(t)
	p, d := c.browser.tab(c.browser.profile()), c.browser.tab(c.browser.profile())
	p.opens(c.page(0), c.patient)
	d.opens(c.page(1), c.doctor)
	var content bytes.Buffer
	require.NoError(t, png.Encode(&content, image.NewGray(image.Rect(0, 0, 400, 200))))
	picture, program := filepath.Join(t.TempDir(), "rash.png"), filepath.Join(t.TempDir(), "run.exe")
	require.NoError(t, os.WriteFile(picture, content.Bytes(), 0o600))
	require.NoError(t, os.WriteFile(program, []byte("MZ\x00\x01"), 0o600))

	p.run(chromedp.SetUploadFiles("#file", []string{picture}, chromedp.ByID))
	d.waits("its small image is shown", `document.querySelector("#log .theirs .file img").naturalWidth > 0`)
	d.waits("and its name", `document.querySelector("#log .theirs .file").textContent.startsWith("rash.png (")`)
	d.screen("file-phone-light", 390, 780, false)
	var same bool
	d.eval(`(async () => {
		const { Session, Conversation } = await import("/static/housecall-chat.js");
		const session = new Session();
		const user = await session.restore();
		const chat = new Conversation({
			appointmentId: "`+c.appointment+`", userId: user.userId, getToken: session.getToken,
		});
		const came = new Promise((done) => chat.addEventListener("event", (e) => e.detail.event.attachment && done(e.detail.event.attachment)));
		await chat.connect();
		const file = await came;
		const blob = await chat.download(file);
		const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", await blob.arrayBuffer()));
		chat.close();
		return [...hash].map((b) => b.toString(16).padStart(2, "0")).join("") === file.sha256;
	})()`, &same)
	require.True(t, same, "the download is the same as the upload")

	p.run(chromedp.SetUploadFiles("#file", []string{program}, chromedp.ByID))
	p.waits("what is refused is said",
		`document.querySelector("#composer-error").textContent.startsWith("The file was not sent.")`)
	p.shows(1)
}

// A message that was written without a network survives the page, and is sent once.
func TestBrowser_Offline(t *testing.T) {
	c := newClinic(t)
	p, d := c.browser.tab(c.browser.profile()), c.browser.tab(c.browser.profile())
	p.opens(c.page(0), c.patient)
	d.opens(c.page(1), c.doctor)

	c.cables[0].set(pulled)
	p.waits("it is said that there is no connection", `!document.querySelector("#banner").hidden`)
	p.waits("and presence is unknown", `document.querySelector("#presence").textContent === "status unknown"`)
	for i := range 3 {
		p.says(fmt.Sprint("offline ", i))
	}
	p.waits("they wait", `document.querySelectorAll("#pending .waiting").length === 3`)
	p.keeps(3)
	p.screen("offline-phone-light", 390, 780, false)
	d.says("are you there?")
	d.shows(1)

	p.goes("about:blank") // the page is gone, with everything that it knew
	c.cables[0].set(noSockets)
	p.goes(c.page(0))
	p.waits("the next page shows the waiting messages", `document.querySelectorAll("#pending .waiting").length === 3`)
	p.says("offline 3")
	c.cables[0].set(whole)
	p.online()
	p.shows(5)
	want := []string{"are you there?", "offline 0", "offline 1", "offline 2", "offline 3"}
	require.Equal(t, want, p.messages())
	d.shows(5)
	require.Equal(t, want, d.messages())
	p.keeps(0)
}

// An answer is lost: the message is stored, and the next page does not duplicate it.
func TestBrowser_LostAnswer(t *testing.T) {
	c := newClinic(t)
	p, d := c.browser.tab(c.browser.profile()), c.browser.tab(c.browser.profile())
	p.opens(c.page(0), c.patient)
	d.opens(c.page(1), c.doctor)
	c.cables[0].set(muted)
	p.says("did you get this?")
	d.shows(1)
	p.waits("it still waits", `document.querySelectorAll("#pending .waiting").length === 1`)
	p.keeps(1)
	p.goes("about:blank")
	c.cables[0].set(whole)
	p.goes(c.page(0))
	p.waits("the conversation is live", isLive)
	p.shows(1)
	p.keeps(0)
	p.says("the next one")
	d.shows(2)
	require.Equal(t, []string{"did you get this?", "the next one"}, texts(c.stored(c.appointment)))
}

func texts(events []client.Event) (out []string) {
	for _, e := range events {
		if e.Kind == "text" {
			out = append(out, e.Text)
		}
	}
	return out
}

// The network breaks again and again, and an instance stops: nothing is lost, duplicated or out of order.
func TestBrowser_Cuts(t *testing.T) {
	c := newClinic(t)
	p, d := c.browser.tab(c.browser.profile()), c.browser.tab(c.browser.profile())
	p.opens(c.page(0), c.patient)
	d.opens(c.page(1), c.doctor)
	const cuts, burst = 12, 4
	for i := range cuts {
		for j := range burst {
			p.says(fmt.Sprintf("patient %d.%d", i, j))
			d.says(fmt.Sprintf("doctor %d.%d", i, j))
			if j == i%burst {
				c.cables[i%2].set(pulled)
			}
		}
		if i == cuts/2 {
			c.cables[0].leads(c.apps[1].Addr())
			require.NoError(t, c.stop(0))
		}
		c.cables[i%2].set(whole)
		p.online()
		d.online()
	}
	stored := texts(func() []client.Event { p.shows(cuts * burst * 2); return c.stored(c.appointment) }())
	d.shows(cuts * burst * 2)
	require.Equal(t, stored, p.messages())
	require.Equal(t, stored, d.messages())
	for _, who := range []string{"patient", "doctor"} { // each in the order in which they wrote
		n := 0
		for _, s := range stored {
			if strings.HasPrefix(s, who) {
				require.Equal(t, fmt.Sprintf("%s %d.%d", who, n/burst, n%burst), s)
				n++
			}
		}
		require.Equal(t, cuts*burst, n)
	}
}

// Tabs of one browser share a sign-in, and send the messages of a tab that was closed.
func TestBrowser_Tabs(t *testing.T) {
	c := newClinic(t)
	who := c.browser.profile()
	a, b := c.browser.tab(who), c.browser.tab(who)
	a.opens(c.page(0), c.patient)
	b.goes(c.page(0))
	b.waits("the other tab's sign-in does", isLive)
	c.cables[0].set(noSockets)
	a.says("from the first tab")
	a.says("from the first tab, too")
	b.says("from the second")
	a.keeps(3)
	a.close()
	c.cables[0].set(whole)
	b.online()
	b.shows(3)
	b.keeps(0)
	require.Len(t, texts(c.stored(c.appointment)), 3)

	c.cables[0].set(noSockets)
	b.says("never sent")
	b.keeps(1)
	b.run(chromedp.Click("#sign-out", chromedp.ByID))
	b.waits("the form to sign in is shown", `document.querySelector("#login")`)
	b.keeps(0)
	b.waits("no token is left", `sessionStorage.length === 0`)
}

// Tokens are renewed on the open connection; when a session ends, its pages sign out.
func TestBrowser_Tokens(t *testing.T) {
	c := newClinic(t, func(cfg *config.Config) { cfg.AccessTTL = 3 * time.Second })
	p := c.browser.tab(c.browser.profile())
	p.opens(c.page(0), c.patient)
	const token = `JSON.parse(sessionStorage.getItem("housecall-session")).access`
	seen := map[string]bool{}
	for range 3 {
		var now string
		p.eval(token, &now)
		require.False(t, seen[now])
		seen[now] = true
		p.waits("another token", token+` !== "`+now+`"`)
	}
	p.says("still here")
	p.shows(1)
	p.waits("the conversation is live", isLive)
	require.Equal(t, 1, p.opened(), "no token ended a connection")

	_, err := c.apps[0].pool.Exec(c.context(), `update sessions set ended_at = now(), end_reason = 'revoked'
		where user_id = (select id from users where public_id = $1)`, c.patient.userID)
	require.NoError(t, err)
	p.waits("the form to sign in is shown", `document.querySelector("#login")`)
}

// A program that stores events itself resumes where it was, and is told if it cannot.
func TestBrowser_Resume(t *testing.T) {
	c := newClinic(t)
	patient := c.patient.at(0)
	for i := range 70 {
		_, err := patient.SendMessage(c.context(), c.appointment, client.NewClientID(), fmt.Sprint("message ", i))
		require.NoError(t, err)
	}
	p := c.browser.tab(c.browser.profile())
	p.opens(c.page(0), c.patient)
	p.waits("the last messages are shown", `document.querySelectorAll("#log .bubble").length === 50`)
	p.run(chromedp.Click("#older", chromedp.ByID))
	p.shows(70)
	require.Equal(t, "message 0", p.messages()[0])
	p.waits("there is nothing older", `document.querySelector("#older").hidden`)
	p.screen("older-desktop-dark", 1100, 800, true)

	var got struct {
		First, Extra, Again int
		Reset               string
		Whole               bool
	}
	p.eval(`(async () => {
		const { Session, Conversation } = await import("/static/housecall-chat.js");
		const session = new Session();
		const user = await session.restore();
		const open = async (resume) => {
			const chat = new Conversation({
				appointmentId: "`+c.appointment+`", userId: user.userId, getToken: session.getToken, resume,
			});
			let reset = "";
			const live = new Promise((done) => chat.addEventListener("state", (e) => e.detail.state === "live" && done()));
			chat.addEventListener("reset", (e) => (reset = e.detail.reason));
			await chat.connect();
			await live;
			chat.close();
			return { seqs: chat.events.map((e) => e.seq), cursor: chat.cursor, reset };
		};
		const recent = await open("recent");
		const { seq, epoch } = recent.cursor;
		const part = await open({ seq: 60, epoch });
		const beyond = await open({ seq: 1000000, epoch });
		await open("stored");
		const again = await open("stored");
		return {
			first: part.seqs[0], extra: part.seqs.length - (seq - 60), again: again.seqs.length, reset: beyond.reset,
			whole: beyond.seqs.length === 50 && beyond.seqs.at(-1) === seq && beyond.seqs.every((s, i) => s === seq - 49 + i),
		};
	})()`, &got)
	require.Equal(t, 61, got.First)
	require.Zero(t, got.Extra, "everything that follows, and nothing else")
	require.Equal(t, "history", got.Reset)
	require.True(t, got.Whole, "the end of the log, without gaps")
	require.Zero(t, got.Again, "it was there already")
}
