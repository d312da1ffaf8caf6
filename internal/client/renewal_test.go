package client

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestConversation_renewsARefusedTokenOnce(t *testing.T) {
	t.Parallel()
	tokens := make(chan string, 3)
	f := &fakeService{script: func(n int, s *fakeSocket) {
		tokens <- s.token
		s.sayHello(0)
		if n == 1 {
			s.live(0) // a success in between allows the next renewal
		}
		s.closeWith(4401)
	}}
	f.refuse = func(n int) int { return map[int]int{3: 401}[n] }
	c, _ := open(t, f.start(t), Options{})
	<-c.Done()
	_, err := c.State()
	require.ErrorIs(t, err, ErrSignedOut)
	require.Equal(t, []string{"token-1", "token-2", "token-3"}, []string{<-tokens, <-tokens, <-tokens})
}

func TestConversation_stopsWhenTheSessionIsGone(t *testing.T) {
	t.Parallel()
	f := &fakeService{script: func(_ int, s *fakeSocket) {
		s.sayHello(0)
		s.closeWith(4401)
	}}
	api := f.start(t)
	f.refreshStatus.Store(401)
	c, _ := open(t, api, Options{})
	<-c.Done()
	_, err := c.State()
	require.ErrorIs(t, err, ErrSignedOut)
	require.EqualValues(t, 1, f.dials.Load())
}

// TestAPI_balancersPage: a balancer's own 401 does not sign anybody out.
func TestAPI_balancersPage(t *testing.T) {
	t.Parallel()
	f := &fakeService{}
	api := f.start(t)
	f.refreshStatus.Store(-401)
	err := api.Refresh(t.Context())
	require.Error(t, err)
	require.NotErrorIs(t, err, ErrSignedOut)
	f.refreshStatus.Store(0)
	require.NoError(t, api.Refresh(t.Context()))
}

func TestConversation_sendsANewTokenInTime(t *testing.T) {
	t.Parallel()
	heard := make(chan string, 1)
	f := &fakeService{script: func(_ int, s *fakeSocket) {
		s.sayHello(0)
		s.live(0)
		s.say(`{"type":"authExpiring","at":"2026-11-22T10:00:00Z"}`)
		for {
			m, ok := s.hear()
			if !ok {
				return
			}
			if m.Type == "auth" {
				heard <- m.Token
			}
		}
	}}
	open(t, f.start(t), Options{})
	select {
	case token := <-heard:
		require.Equal(t, "token-2", token)
	case <-within(t).Done():
		t.Fatal("no auth came")
	}
}
