package main

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/client"
)

// An acknowledged message is committed, whatever process dies. Here an instance is killed while messages are sent.
func TestServe_Killed(t *testing.T) {
	t.Parallel()
	p := serving(t)
	a, b := p.serve(t), p.serve(t)
	appointment := p.clinic(t, a.url())
	patient := signIn(t, a.url(), "patient@clinic.test")
	doctor := signIn(t, b.url(), "doctor@clinic.test")
	events := make(chan client.Event, 100_000)
	d := client.Open(
		doctor,
		appointment,
		client.Options{
			Resume: client.Cursor{Set: true}, Handler: client.Handler{Event: func(e client.Event) { events <- e }},
		},
	)
	defer d.Close()
	require.NoError(t, d.WaitLive(t.Context()))

	const n = 2000
	acks, enough := map[string]int64{}, make(chan struct{})
	var mu sync.Mutex // guards acks
	c := client.Open(patient, appointment, client.Options{QueueMax: n, Handler: client.Handler{Ack: func(ack client.Ack) {
		mu.Lock()
		defer mu.Unlock()
		if acks[ack.ClientID] = ack.Seq; len(acks) == n/10 {
			close(enough)
		}
	}}})
	defer c.Close()
	require.NoError(t, c.WaitLive(t.Context()))
	ids := make([]string, n)
	for i := range ids {
		ids[i] = client.NewClientID()
		require.NoError(t, c.SendAs(ids[i], fmt.Sprintf("message %d", i)))
	}
	<-enough
	a.kill()
	c.Close()
	mu.Lock()
	acked := len(acks)
	mu.Unlock()
	require.GreaterOrEqual(t, acked, n/10)

	seqs := resend(t, signIn(t, b.url(), "patient@clinic.test"), appointment, ids, acks)
	history := log(t, doctor, appointment)
	texts := 0
	for i, e := range history {
		require.EqualValues(t, i+1, e.Seq, "the log has no gap")
		if e.Kind == "text" {
			texts++
			require.Equal(t, seqs[e.ClientID], e.Seq)
		}
		require.Equal(t, e.Seq, (<-events).Seq, "and the doctor saw the same")
	}
	require.Equal(t, n, texts, "each message is there, once")
	require.Zero(t, b.end(syscall.SIGTERM))
}

// resend sends everything again over another instance: what was acknowledged before keeps its seq.
func resend(t *testing.T, api *client.API, appointment string, ids []string, acks map[string]int64) map[string]int64 {
	t.Helper()
	seqs := map[string]int64{}
	var mu sync.Mutex // guards seqs and old
	old := map[string]bool{}
	c := client.Open(api, appointment, client.Options{QueueMax: len(ids), Handler: client.Handler{Ack: func(ack client.Ack) {
		mu.Lock()
		defer mu.Unlock()
		seqs[ack.ClientID], old[ack.ClientID] = ack.Seq, ack.Duplicate
	}}})
	defer c.Close()
	for i, id := range ids {
		require.NoError(t, c.SendAs(id, fmt.Sprintf("message %d", i)))
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, c.Drain(ctx))
	c.Close() // after this, the handler has seen the last ack
	require.Len(t, seqs, len(ids))
	for id, seq := range acks {
		require.Equal(t, seq, seqs[id], "an acknowledged message keeps its seq")
		require.True(t, old[id], "and is known to be a duplicate")
	}
	return seqs
}

func log(t *testing.T, api *client.API, appointment string) (all []client.Event) {
	t.Helper()
	for {
		page, err := api.MessagesAfter(t.Context(), appointment, int64(len(all)), 100)
		require.NoError(t, err)
		all = append(all, page.Items...)
		if int64(len(all)) >= page.HeadSeq || len(page.Items) == 0 {
			return all
		}
	}
}

// The terminal chat, piped on both sides, over two instances.
func TestChat_Piped(t *testing.T) {
	t.Parallel()
	p := serving(t)
	a, b := p.serve(t), p.serve(t)
	appointment := p.clinic(t, a.url())
	chat := program{"PASSWORD": password}
	doctor := chat.launch(t, "chat", "--as", "doctor@clinic.test", "--server", b.url(), "--follow", appointment)
	doctor.shows("Appointment confirmed")
	patient := chat.run(t, "Good morning\nsecond line: ünïcødé 🩺\n//quit is no command\n", "chat", "--as",
		"patient@clinic.test", "--server", a.url(), appointment)
	require.Zero(t, patient.code, patient.stderr)
	doctor.shows("Good morning", "second line: ünïcødé 🩺", "/quit is no command")
	_, err := fmt.Fprintln(doctor.in, "And a good morning to you")
	require.NoError(t, err)
	require.NoError(t, doctor.in.Close())
	doctor.shows("And a good morning to you")
	require.Zero(t, doctor.end(syscall.SIGINT))
	again := chat.run(t, "", "chat", "--as", "patient@clinic.test", "--server", b.url(), appointment)
	require.Zero(t, again.code, again.stderr)
	require.Contains(t, again.stdout, "And a good morning to you", "history is shown")

	for name, c := range map[string]struct {
		env  program
		args []string
		says string
	}{
		"wrong password":         {chat.with("PASSWORD", "wrong"), []string{"--as", "patient@clinic.test", "--server", a.url(), appointment}, "wrong email address or password"},
		"no password":            {program{}, []string{"--as", "patient@clinic.test", "--server", a.url(), appointment}, "HOUSECALL_PASSWORD"},
		"another's conversation": {chat, []string{"--as", "root@clinic.test", "--server", a.url(), appointment}, "root@clinic.test"},
		"no such appointment":    {chat, []string{"--as", "patient@clinic.test", "--server", a.url(), "APP0000000000"}, "APP0000000000"},
		"no server":              {chat, []string{"--as", "patient@clinic.test", "--server", "http://127.0.0.1:1", appointment}, "cannot reach the server"},
	} {
		t.Run(name, func(t *testing.T) {
			r := c.env.run(t, "hello\n", append([]string{"chat"}, c.args...)...)
			require.Equal(t, 1, r.code, r.stdout)
			require.Contains(t, r.stderr, c.says)
			require.Regexp(t, `^housecall: [^\n]+\n$`, r.stderr)
		})
	}
}
