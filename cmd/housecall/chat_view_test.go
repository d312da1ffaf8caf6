package main

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/term"
)

// Somebody whose typing is not repeated has stopped, six seconds after the last signal.
func TestChatScreen_typing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &chatScreen{known: newWords("PAT1")}
		s.terminal = term.NewTerminal(struct {
			io.Reader
			io.Writer
		}{strings.NewReader(""), io.Discard}, "")
		s.known.names["DOC1"], s.known.trouble = "Dora Doctor", ""
		prompt := func() (text string) {
			s.do(func() { text = s.promptText() })
			return text
		}
		heard := func(user string) { s.do(func() { s.typing(user, true) }) }
		passes := func(d time.Duration) {
			<-time.After(d)
			synctest.Wait()
		}
		heard("PAT1")
		require.Equal(t, "> ", prompt(), "the user's own typing is not shown")
		heard("DOC1")
		require.Equal(t, "Dora Doctor is typing… > ", prompt())
		passes(4 * time.Second)
		heard("DOC1")
		passes(4 * time.Second)
		require.Equal(t, "Dora Doctor is typing… > ", prompt(), "the signal was repeated")
		passes(2 * time.Second)
		require.Equal(t, "> ", prompt())
	})
}
