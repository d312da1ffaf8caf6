package soak

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/client"
)

// When an instance is killed, nobody announces that its users have gone: the others notice it, and tell their clients.
func TestPresence_KilledInstance(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes 40 s until the users of a silent instance count as offline")
	}
	w := newWorld(t, 1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conversation := w.places[0]
	open := func(in *instance, email string) *client.Conn {
		api, err := client.New("http://" + in.addr)
		require.NoError(t, err)
		t.Cleanup(api.CloseIdle)
		_, err = api.Login(ctx, email, password)
		require.NoError(t, err)
		conn, err := client.Dial(ctx, api, conversation.id, client.Cursor{})
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() }) // it may have ended with its instance
		return conn
	}
	doctor := open(w.instances[0], "doctor@soak.test")
	open(w.instances[1], "patient0@soak.test")
	said := make(chan bool, 10)
	go func() {
		defer close(said)
		for {
			var f client.Frame
			if doctor.ReadFrame(&f) != nil {
				return
			}
			if f.Type == "presence" && f.UserID == conversation.patient && f.Online != nil {
				said <- *f.Online
			}
		}
	}()
	require.True(t, <-said, "the patient has come")
	w.instances[1].kill()
	killed := time.Now()
	for online := true; online; {
		var more bool
		online, more = <-said
		require.True(t, more, "the doctor's connection lasts")
	}
	t.Logf("offline %s after the kill", time.Since(killed).Round(time.Second))
}
