package soak

import (
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/google/uuid"
)

// desk is what one person has written in one conversation, on any of their devices. Each device may send it again.
type desk struct {
	mu     sync.Mutex // guards all below
	papers []*paper
	others []int64 // the seqs of other people's texts
}

// paper is a message, a retraction or a correction, with its clientId.
type paper struct {
	action   Action
	clientID string
	text     string
	target   int64

	// Guarded by the desk's mu.
	seq      int64 // 0 until it is acknowledged
	hopeless bool  // it was permanently refused
}

func (k *desk) compose(action Action, text string, target int64) *paper {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := &paper{action: action, clientID: uuid.NewString(), text: text, target: target}
	k.papers = append(k.papers, p)
	return p
}

// find returns the paper with a clientId; nil if there is none.
func (k *desk) find(clientID string) *paper {
	k.mu.Lock()
	defer k.mu.Unlock()
	i := slices.IndexFunc(k.papers, func(p *paper) bool { return p.clientID == clientID })
	if i < 0 {
		return nil
	}
	return k.papers[i]
}

func (k *desk) acked(clientID string, seq int64) {
	if p := k.find(clientID); p != nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		p.seq = seq
	}
}

// refused notes a refusal of a paper; only some codes are permanent.
func (k *desk) refused(clientID, code string) {
	switch code {
	case "closed", "not_found", "not_yours", "empty", "too_long", "invalid", "unknown_type":
	default:
		return
	}
	if p := k.find(clientID); p != nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		p.hopeless = true
	}
}

// open returns the papers that may or may not be in the log.
func (k *desk) open() []*paper {
	return k.pick(func(p *paper) bool { return p.seq == 0 && !p.hopeless })
}

func (k *desk) pick(which func(*paper) bool) []*paper {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []*paper
	for _, p := range k.papers {
		if which(p) {
			out = append(out, p)
		}
	}
	return out
}

// any draws one of the papers for which which holds, most likely a late one; nil if there is none.
func (k *desk) any(rnd *rand.Rand, which func(*paper) bool) *paper {
	all := k.pick(which)
	if len(all) == 0 {
		return nil
	}
	if rnd.IntN(3) > 0 {
		all = all[max(0, len(all)-8):]
	}
	return all[rnd.IntN(len(all))]
}

func (k *desk) saw(seq int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.others = append(k.others, seq)
}

// foreign draws another person's text; 0 if there is none.
func (k *desk) foreign(rnd *rand.Rand) int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.others) == 0 {
		return 0
	}
	return k.others[rnd.IntN(len(k.others))]
}

func isText(p *paper) bool { return p.action == Send && p.seq > 0 }

func isEdited(p *paper) bool { return p.action != Send }
