package client_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/app"
	"housecall/internal/client"
	"housecall/internal/config"
	"housecall/internal/testing/apitest"
	"housecall/internal/testing/pgtest"
)

const password = "correct horse battery"

// clinic is two real instances with a booked appointment.
type clinic struct {
	urls            [2]string
	patient, doctor *client.API // on the first and the second instance
	appointment     string
	doctorEmail     string
}

func newClinic(t *testing.T, change func(*config.Config)) *clinic {
	t.Helper()
	cfg := config.Default()
	cfg.Addr, cfg.MetricsAddr = "127.0.0.1:0", ""
	cfg.DatabaseURL = config.Secret(pgtest.DSN(t))
	cfg.RedisURL = config.Secret(pgtest.Redis(t).URL())
	cfg.TokenSecrets = []config.Secret{"8bN2vQ5xT1rY7kLw3mZc9pHs4dGf6jAe"}
	cfg.MailDir = t.TempDir()
	cfg.MessagesPerSecond, cfg.UserMessagesPerSecond, cfg.ConversationMessagesPerSecond = 10_000, 10_000, 10_000
	if change != nil {
		change(&cfg)
	}
	c := &clinic{doctorEmail: "doctor@example.org"}
	for i := range c.urls {
		instance, err := app.New(cfg, zerolog.Nop())
		require.NoError(t, err)
		require.NoError(t, instance.Start(t.Context()))
		t.Cleanup(func() { require.NoError(t, instance.Stop()) })
		c.urls[i] = "http://" + instance.Addr()
	}
	_, err := app.CreateAdmin(t.Context(), cfg, "Ada Admin", "admin@example.org", password)
	require.NoError(t, err)
	c.bookAppointment(t)
	return c
}

// api is a client that is closed before the instances are.
func (c *clinic) api(t *testing.T, url string) *client.API {
	t.Helper()
	api, err := client.New(url, client.WithHTTPClient(apitest.Held(t, client.NewHTTPClient(2))))
	require.NoError(t, err)
	t.Cleanup(api.CloseIdle)
	return api
}

func (c *clinic) bookAppointment(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	admin := c.api(t, c.urls[0])
	_, err := admin.Login(ctx, "admin@example.org", password)
	require.NoError(t, err)
	invitation, err := admin.InviteDoctor(ctx,
		client.NewDoctor{Name: "Dora Doctor", Email: c.doctorEmail, Specialization: "Cardiology"})
	require.NoError(t, err)
	c.doctor = c.api(t, c.urls[1])
	require.NoError(t, c.doctor.AcceptInvitation(ctx, invitation, password))
	_, err = c.doctor.Login(ctx, c.doctorEmail, password)
	require.NoError(t, err)
	c.patient = c.api(t, c.urls[0])
	_, err = c.patient.Register(ctx, "Pat Patient", "patient@example.org", password)
	require.NoError(t, err)
	_, err = c.patient.Login(ctx, "patient@example.org", password)
	require.NoError(t, err)
	doctors, _, err := c.patient.Doctors(ctx, "cardio", client.Page{})
	require.NoError(t, err)
	require.Len(t, doctors, 1)
	slots, err := c.patient.Slots(ctx, doctors[0].UserID, time.Now(), time.Now().AddDate(0, 0, 7))
	require.NoError(t, err)
	booked, err := c.patient.Book(ctx, doctors[0].UserID, slots[len(slots)-1].StartsAt, "Chest pain")
	require.NoError(t, err)
	c.appointment = booked.ID
	confirmed, err := c.doctor.Confirm(ctx, booked.ID, nil)
	require.NoError(t, err)
	require.Equal(t, "BOOKED", confirmed.Status)
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestAPI_againstTheService(t *testing.T) {
	t.Parallel()
	c := newClinic(t, nil)
	ctx := deadline(t)
	me, err := c.patient.Me(ctx)
	require.NoError(t, err)
	require.Equal(t, c.patient.User(), me)
	mine, _, err := c.patient.Appointments(ctx, "BOOKED", client.Page{Limit: 5})
	require.NoError(t, err)
	require.Len(t, mine, 1)
	require.True(t, mine[0].CanReply)

	twice, err := c.patient.Book(ctx, mine[0].Doctor.UserID, *mine[0].StartsAt, "Chest pain")
	require.NoError(t, err)
	require.Equal(t, mine[0].ID, twice.ID, "whoever presses twice has booked once")
	other := c.api(t, c.urls[1])
	_, err = other.Register(ctx, "Olga Other", "other@example.org", password)
	require.NoError(t, err)
	_, err = other.Login(ctx, "other@example.org", password)
	require.NoError(t, err)
	_, err = other.Book(ctx, mine[0].Doctor.UserID, *mine[0].StartsAt, "Cough")
	p, ok := client.AsProblem(err)
	require.True(t, ok, "%v", err)
	require.Equal(t, http.StatusConflict, p.Status)
	require.NotEmpty(t, p.Alternatives)

	id := client.NewClientID()
	first, err := c.patient.SendMessage(ctx, c.appointment, id, "Hello")
	require.NoError(t, err)
	again, err := c.patient.SendMessage(ctx, c.appointment, id, "Hello")
	require.NoError(t, err)
	require.Equal(t, client.Sent{ClientID: id, Seq: first.Seq, At: first.At, Duplicate: true}, again)
	page, err := c.doctor.MessagesBefore(ctx, c.appointment, 0, 1)
	require.NoError(t, err)
	require.Equal(t, first.Seq, page.HeadSeq)
	require.Equal(t, "Hello", page.Items[0].Text)
	require.Equal(t, me.UserID, page.Items[0].Sender)
	all, err := c.doctor.MessagesAfter(ctx, c.appointment, 0, 100)
	require.NoError(t, err)
	require.Len(t, all.Items, int(page.HeadSeq))

	var renewals sync.WaitGroup
	for range 20 {
		renewals.Go(func() {
			if err := c.patient.Refresh(ctx); err != nil {
				t.Errorf("refresh: %v", err)
			}
		})
	}
	renewals.Wait()
	_, err = c.patient.Cancel(ctx, c.appointment, "Better already")
	require.NoError(t, err)
	_, err = c.patient.SendMessage(ctx, c.appointment, client.NewClientID(), "Too late")
	p, ok = client.AsProblem(err)
	require.True(t, ok)
	require.Equal(t, "closed", p.Code)
	require.NoError(t, c.patient.Logout(ctx))
	_, err = c.patient.Me(ctx)
	require.ErrorIs(t, err, client.ErrSignedOut)
}

// chatter is one side of a conversation, with what it saw.
type chatter struct {
	conv *client.Conversation
	mu   sync.Mutex
	log  []client.Event
}

func (c *chatter) start(t *testing.T, api *client.API, appointment string) {
	t.Helper()
	c.conv = client.Open(api, appointment, client.Options{
		Resume: client.Cursor{Set: true},
		Random: func() float64 { return 0.05 }, // impatient: at most 50 ms at first
		Handler: client.Handler{Event: func(e client.Event) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.log = append(c.log, e)
		}},
	})
	t.Cleanup(c.conv.Close)
	require.NoError(t, c.conv.WaitLive(deadline(t)))
}

func (c *chatter) seen() []client.Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]client.Event(nil), c.log...)
}

// TestConversation_acrossInstances cuts the connections of both sides again and again while they send.
func TestConversation_acrossInstances(t *testing.T) {
	t.Parallel()
	c := newClinic(t, nil)
	ctx := deadline(t)
	var sides [2]chatter
	var cuts [2]*scissors
	for i, api := range []*client.API{c.patient, c.doctor} {
		cuts[i] = newScissors(t, c.urls[i])
		through := c.api(t, cuts[i].url)
		_, err := through.Login(ctx, api.User().Email, password)
		require.NoError(t, err)
		sides[i].start(t, through, c.appointment)
	}
	const rounds, perRound = 8, 25
	want := map[string]int{}
	for round := range rounds {
		for n := range perRound {
			for i := range sides {
				text := fmt.Sprintf("side %d message %d", i, round*perRound+n)
				want[text] = 1
				_, err := sides[i].conv.Send(text)
				require.NoError(t, err)
			}
		}
		cuts[round%2].cutAll()
	}
	head := int64(0)
	for i := range sides {
		require.NoError(t, sides[i].conv.Drain(ctx))
	}
	page, err := c.patient.MessagesBefore(ctx, c.appointment, 0, 1)
	require.NoError(t, err)
	head = page.HeadSeq
	for i := range sides {
		require.Eventually(t, func() bool { return len(sides[i].seen()) >= int(head) }, 30*time.Second, 5*time.Millisecond)
	}
	one, other := sides[0].seen(), sides[1].seen()
	require.Equal(t, one, other)
	got := map[string]int{}
	next := [2]int{}
	for i, e := range one {
		require.EqualValues(t, i+1, e.Seq)
		if e.Kind != "text" {
			continue
		}
		got[e.Text]++
		var side, n int
		_, err := fmt.Sscanf(e.Text, "side %d message %d", &side, &n)
		require.NoError(t, err)
		require.Equal(t, next[side], n, "one sender's messages keep their order")
		next[side]++
	}
	require.Equal(t, want, got)
	require.Greater(t, sides[0].conv.Stats().Connections, int64(1))
	require.Zero(t, sides[0].conv.Stats().Holes)
}

// TestConversation_outlivesItsTokens uses tokens so short that the connection would end without `auth`, but long
// enough that a renewal on a busy machine still comes in time: after a late one, the client would rightly reconnect.
func TestConversation_outlivesItsTokens(t *testing.T) {
	t.Parallel()
	c := newClinic(t, func(cfg *config.Config) { cfg.AccessTTL = 10 * time.Second })
	var side chatter
	side.start(t, c.patient, c.appointment)
	first := c.patient.Expires()
	require.Eventually(t, func() bool { return time.Now().After(first.Add(time.Second)) }, 60*time.Second,
		50*time.Millisecond)
	_, err := side.conv.SendWait(deadline(t), "still here")
	require.NoError(t, err)
	require.EqualValues(t, 1, side.conv.Stats().Connections)
}

func TestConversation_endsWithItsSession(t *testing.T) {
	t.Parallel()
	c := newClinic(t, nil)
	other := c.api(t, c.urls[1])
	_, err := other.Login(t.Context(), "patient@example.org", password)
	require.NoError(t, err)
	var side chatter
	side.start(t, other, c.appointment)
	token, err := other.Token(t.Context())
	require.NoError(t, err)
	logout, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.urls[0]+"/api/v1/auth/logout", nil)
	require.NoError(t, err)
	logout.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(logout)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Less(t, resp.StatusCode, 300)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	select {
	case <-side.conv.Done():
	case <-deadline(t).Done():
		t.Fatal("the conversation went on without its session")
	}
	_, why := side.conv.State()
	require.ErrorIs(t, why, client.ErrSignedOut)
}

func TestConversation_isNotThereForStrangers(t *testing.T) {
	t.Parallel()
	c := newClinic(t, nil)
	stranger := c.api(t, c.urls[0])
	_, err := stranger.Register(t.Context(), "Sam Stranger", "stranger@example.org", password)
	require.NoError(t, err)
	_, err = stranger.Login(t.Context(), "stranger@example.org", password)
	require.NoError(t, err)
	conv := client.Open(stranger, c.appointment, client.Options{})
	t.Cleanup(conv.Close)
	p, ok := client.AsProblem(conv.WaitLive(deadline(t)))
	require.True(t, ok)
	require.Equal(t, http.StatusNotFound, p.Status)
}

// scissors is a TCP proxy that can cut everything that goes through it.
type scissors struct {
	url   string
	to    string
	mu    sync.Mutex // guards conns
	conns map[net.Conn]bool
}

func newScissors(t *testing.T, target string) *scissors {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &scissors{
		url: "http://" + l.Addr().String(), to: strings.TrimPrefix(target, "http://"), conns: map[net.Conn]bool{},
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { s.pass(in) })
		}
	})
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		s.cutAll()
		running.Wait()
	})
	return s
}

func (s *scissors) pass(in net.Conn) {
	defer func() { _ = in.Close() }()
	out, err := net.Dial("tcp", s.to)
	if err != nil {
		return
	}
	defer func() { _ = out.Close() }()
	s.mu.Lock()
	s.conns[in] = true
	s.mu.Unlock()
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(in, out) // ends when it is cut
		_ = in.Close()
	})
	_, _ = io.Copy(out, in)
	_ = out.Close()
	back.Wait()
	s.mu.Lock()
	delete(s.conns, in)
	s.mu.Unlock()
}

func (s *scissors) cutAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
}
