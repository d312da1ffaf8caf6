package chat

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/conversation"
)

// step is one line of a conversation in VECTORS.md: connect, >, < or close, and what follows it.
type step struct{ what, with string }

// vectors reads the conversations of VECTORS.md.
func vectors(t *testing.T) (all [][]step) {
	t.Helper()
	page, err := os.ReadFile("VECTORS.md")
	require.NoError(t, err)
	for line := range strings.Lines(string(page)) {
		code, isCode := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "    ")
		if !isCode {
			continue
		}
		what, with, _ := strings.Cut(code, " ")
		switch {
		case what == "connect":
			all = append(all, nil)
		case what != ">" && what != "<" && what != "close":
			continue // a list item that goes on
		}
		all[len(all)-1] = append(all[len(all)-1], step{what, with})
	}
	return all
}

// TestVectors plays every conversation of VECTORS.md, so that the page says what the service does.
func TestVectors(t *testing.T) {
	t.Parallel()
	all := vectors(t)
	require.Len(t, all, 8)
	for i, steps := range all {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			in := w.serve(nil)
			id := w.Conversation()
			w.fill(id, 3)
			p := in.dial(t, w.Patient, id, steps[0].with)
			var due []map[string]any
			for n, s := range steps[1:] {
				switch s.what {
				case "<":
					due = append(due, fields(t, []byte(s.with)))
					if last := n+2 == len(steps); last || steps[n+2].what != "<" {
						p.requireAll(due)
						due = nil
					}
				case ">":
					p.say(s.with)
				case "close":
					_, _, err := p.ReadMessage()
					require.ErrorContains(t, err, s.with)
				}
			}
		})
	}
}

// requireAll reads exactly these frames, in any order but that of seq.
func (p *peer) requireAll(due []map[string]any) {
	p.t.Helper()
	for len(due) > 0 {
		got := p.next()
		found := -1
		for i, want := range due {
			if matches(want, got) {
				found = i
				break
			}
		}
		require.GreaterOrEqual(p.t, found, 0, "%v is none of %v", got, due)
		require.False(p.t, got["type"] == "event" && earlierEvent(due[:found]), "an event overtook another")
		due = append(due[:found:found], due[found+1:]...)
	}
}

func earlierEvent(frames []map[string]any) bool {
	for _, f := range frames {
		if f["type"] == "event" {
			return true
		}
	}
	return false
}

// matches compares a frame with a vector, in which "*" stands for any value.
func matches(want, got map[string]any) bool {
	if len(want) != len(got) {
		return false
	}
	for name, value := range want {
		have, there := got[name]
		if !there || value != "*" && fmt.Sprint(value) != fmt.Sprint(have) {
			return false
		}
	}
	return true
}

// TestFrames_Largest: PROTOCOL.md promises that no frame of the server is longer than 1 MiB.
func TestFrames_Largest(t *testing.T) {
	t.Parallel()
	const promised = 1 << 20
	longest := strings.Repeat("\u0001", 100) // the longest name, of what JSON needs most bytes for
	hello := goldenInbox(true)
	item := goldenNews().unreadItem()
	item.From.Name = longest
	hello.Unread = nil
	for range inboxLimit {
		hello.Unread = append(hello.Unread, item)
	}
	raw, err := json.Marshal(hello)
	require.NoError(t, err)
	require.Less(t, len(raw), promised)
	event := conversation.Event{
		Seq: 5, Kind: conversation.KindText, ClientID: goldenID, Sender: "PAT0000000001", At: goldenTime,
		Text: strings.Repeat("\u0001", conversation.MaxChars),
	}
	require.Less(t, len(bodyOfWire(encodeEvent(event))), 64<<10, "an event is far shorter")
}
