package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/app"
	"housecall/internal/client"
	"housecall/internal/config"
	"housecall/internal/testing/pgtest"
)

func TestClean(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain äöü 🙂":           "plain äöü 🙂",
		"\x1b[31mred\x1b[0m":    "�[31mred�[0m",
		"\u009b31m":             "�31m",
		"a\r\nb\n":              "a\n      b",
		"tab\there":             "tab here",
		"\u202egnp.exe":         "�gnp.exe",
		"over\rwritten\x00\x07": "over�written��",
	} {
		require.Equal(t, want, clean(text))
	}
}

func TestTick_show(t *testing.T) {
	t.Parallel()
	for mark := tickQueued; mark <= tickRefused; mark++ {
		require.Len(t, []rune(mark.show(false)), 2, "it changes in place")
	}
	require.Contains(t, tickRead.show(true), "\x1b[")
}

func TestChatOptions_explain(t *testing.T) {
	t.Parallel()
	o := chatOptions{as: "a@b.test", appointment: "APP1", server: "http://x"}
	for want, err := range map[string]error{
		"wrong email address or password":            &client.Problem{Status: 401, Code: "bad_credentials"},
		"APP1 is not an appointment of a@b.test":     &client.Problem{Status: 404, Code: "not_found"},
		"too many attempts: wait 1m0s and try again": &client.Problem{Status: 429, Code: "rate_limited", RetryAfter: time.Minute},
		"the server refused the request: Down.":      &client.Problem{Status: 503, Code: "unavailable", Detail: "Down."},
		"something in front of the server answered 404 Not Found: try again in a moment": &client.Problem{
			Status: 404, Title: "Not Found",
		},
		"your session has ended: sign in again":                    errors.Join(client.ErrSignedOut, &client.CloseError{Code: 4401}),
		"a@b.test is no longer a participant in conversation APP1": &client.CloseError{Code: 4403},
		"cannot reach the server http://x: is it running?":         context.DeadlineExceeded,
		"the service closed the connection: 4400 not understood":   &client.CloseError{Code: 4400, Reason: "not understood"},
	} {
		require.EqualError(t, o.explain(err), want)
	}
	require.NoError(t, o.explain(nil))
	require.NoError(t, o.explain(context.Canceled))
}

// chatConversation starts a real instance and books an appointment on it.
func chatConversation(t *testing.T) (url, appointment string) {
	t.Helper()
	ctx := t.Context()
	cfg := config.Default()
	cfg.Addr, cfg.MetricsAddr = "127.0.0.1:0", ""
	cfg.DatabaseURL = config.Secret(pgtest.DSN(t))
	cfg.RedisURL = config.Secret(pgtest.Redis(t).URL())
	cfg.TokenSecrets = []config.Secret{"8bN2vQ5xT1rY7kLw3mZc9pHs4dGf6jAe"}
	cfg.MessagesPerSecond, cfg.UserMessagesPerSecond, cfg.ConversationMessagesPerSecond, cfg.MailDir = 1000, 2000, 2000, t.TempDir()
	instance, err := app.New(cfg, zerolog.Nop())
	require.NoError(t, err)
	require.NoError(t, instance.Start(ctx))
	t.Cleanup(func() { require.NoError(t, instance.Stop()) })
	_, err = app.CreateAdmin(ctx, cfg, "Ada Admin", "admin@example.org", chatTestPassword)
	require.NoError(t, err)
	url = "http://" + instance.Addr()
	as := func(email string) *client.API {
		api, err := client.New(url)
		require.NoError(t, err)
		t.Cleanup(api.CloseIdle)
		_, err = api.Login(ctx, email, chatTestPassword)
		require.NoError(t, err)
		return api
	}
	guest, err := client.New(url)
	require.NoError(t, err)
	t.Cleanup(guest.CloseIdle)
	invitation, err := as(
		"admin@example.org",
	).InviteDoctor(ctx, client.NewDoctor{Name: "Dora Doctor", Email: "doctor@example.org"})
	require.NoError(t, err)
	require.NoError(t, guest.AcceptInvitation(ctx, invitation, chatTestPassword))
	for _, email := range []string{"patient@example.org", "other@example.org"} {
		_, err = guest.Register(ctx, "Pat Patient", email, chatTestPassword)
		require.NoError(t, err)
	}
	doctor, patient := as("doctor@example.org"), as("patient@example.org")
	slots, err := patient.Slots(ctx, doctor.User().UserID, time.Now(), time.Now().AddDate(0, 0, 3))
	require.NoError(t, err)
	booked, err := patient.Book(ctx, doctor.User().UserID, slots[len(slots)-1].StartsAt, "")
	require.NoError(t, err)
	_, err = doctor.Confirm(ctx, booked.ID, nil)
	require.NoError(t, err)
	return url, booked.ID
}

const chatTestPassword = "correct horse battery"

// runPiped runs the command with piped input and output.
func runPiped(t *testing.T, o chatOptions, input string) (string, error) {
	t.Helper()
	in, keys, err := os.Pipe()
	require.NoError(t, err)
	screen, out, err := os.Pipe()
	require.NoError(t, err)
	_, err = keys.WriteString(input)
	require.NoError(t, err)
	require.NoError(t, keys.Close())
	o.in, o.out = in, out
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	err = runChat(ctx, o)
	require.NoError(t, ctx.Err())
	require.NoError(t, out.Close())
	shown, readErr := io.ReadAll(screen)
	require.NoError(t, readErr)
	return string(shown), err
}

func TestRunChat_piped(t *testing.T) {
	url, appointment := chatConversation(t)
	t.Setenv("HOUSECALL_PASSWORD", chatTestPassword)
	patient := chatOptions{as: "patient@example.org", server: url, appointment: appointment}
	shown, err := runPiped(t, patient, "It hurts.\n\n//here\n/nonsense\nlast, without an end")
	require.NoError(t, err)
	for _, line := range []string{"with Dora Doctor, booked", "You: It hurts. ✓\n", "You: /here ✓\n", "You: last, without an end ✓\n", "unknown command"} {
		require.Contains(t, shown, line)
	}
	require.NotContains(t, shown, "\x1b")

	shown, err = runPiped(t, chatOptions{as: "doctor@example.org", server: url, appointment: appointment},
		"Where?\n/quit\nnot sent\n")
	require.NoError(t, err)
	require.Contains(t, shown, "Pat Patient: It hurts.\n")
	require.NotContains(t, shown, "not sent")

	const many = 1200 // more than may wait at once or be sent in a second
	shown, err = runPiped(t, patient, strings.Repeat("one of many\n", many))
	require.NoError(t, err)
	require.Equal(t, many, strings.Count(shown, "You: one of many ✓\n"))
	require.NotContains(t, shown, "not sent")

	_, err = runPiped(t, patient, strings.Repeat("x", 4001)+"\n")
	require.EqualError(t, err, "messages refused: 1")
	_, err = runPiped(t, chatOptions{as: "other@example.org", server: url, appointment: appointment}, "")
	require.EqualError(t, err, appointment+" is not an appointment of other@example.org")
	_, err = runPiped(t, chatOptions{as: "patient@example.org", server: "http://127.0.0.1:1", appointment: appointment},
		"")
	require.EqualError(t, err, "cannot reach the server http://127.0.0.1:1: is it running?")
	t.Setenv("HOUSECALL_PASSWORD", "something else")
	_, err = runPiped(t, patient, "")
	require.EqualError(t, err, "wrong email address or password")
}
