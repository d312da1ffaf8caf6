package chat

import (
	"testing"

	"housecall/internal/conversation"

	"github.com/stretchr/testify/require"
)

func at(userID string, delivered, read int64) receipt {
	return receipt{
		user: int64(len(userID)), userID: userID, Cursors: conversation.Cursors{Delivered: delivered, Read: read},
	}
}

// Receipts come from several instances, over several roads, in any order: nobody sees a cursor go back.
func TestHub_ReceiptsOnlyRise(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, h *hub, _ *logStub) {
		m, r := joinAt(t, h, 1, 9)
		h.receipt(testConversation, at("DOC", 5, 3))
		require.Equal(t, []string{string(at("DOC", 5, 3).frame())}, r.take())
		for name, late := range map[string]receipt{"older": at("DOC", 4, 3), "the same": at("DOC", 5, 3), "none": at("DOC", 0, 0)} {
			h.receipt(testConversation, late)
			require.Empty(t, r.take(), name)
		}
		h.receipt(testConversation, at("DOC", 4, 4))
		require.Equal(t, []string{string(at("DOC", 5, 4).frame())}, r.take(), "each cursor rises for itself")
		h.receipt(testConversation, at("PATI", 1, 1))
		require.Len(t, r.take(), 1, "others have conversation.Cursors of their own")
		h.leave(m)
	})
}

// A hello tells cursors too: what comes later is not below it, and what it lacks follows live.
func TestHub_ReceiptsAroundHello(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, h *hub, _ *logStub) {
		first, old := joinAt(t, h, 1, 9)
		r := &recorder{}
		m, _ := h.enter(testConversation, 2, r)
		h.receipt(testConversation, at("DOC", 5, 3)) // while it joins
		h.greet(m, at("DOC", 7, 7), at("PATI", 0, 0))
		h.receipt(testConversation, at("DOC", 6, 6))
		require.True(t, m.goLive(9, liveAt(9)))
		require.Equal(t, []string{"live 9"}, r.take(), "its hello said more than all of them")
		require.Equal(t, []string{string(at("DOC", 5, 3).frame()), string(at("DOC", 7, 7).frame())}, old.take(),
			"others hear of it")

		late := &recorder{}
		n, _ := h.enter(testConversation, 2, late)
		h.receipt(testConversation, at("DOC", 8, 8))
		h.greet(n, at("DOC", 7, 7), at("PATI", 0, 0)) // read before that
		require.True(t, n.goLive(9, liveAt(9)))
		require.Equal(t, []string{"live 9", string(at("DOC", 8, 8).frame())}, late.take(), "what hello lacked")
		for _, each := range []*subscriber{first, m, n} {
			h.leave(each)
		}
	})
}
