package client

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestBackoff_next(t *testing.T) {
	t.Parallel()
	b := backoff{random: func() float64 { return 0.5 }}
	var waits []time.Duration
	for range 9 {
		waits = append(waits, b.next())
	}
	require.Equal(t, []time.Duration{
		500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second,
		30 * time.Second, 30 * time.Second, 30 * time.Second,
	}, waits)
}

func TestBackoff_judge(t *testing.T) {
	t.Parallel()
	closed := func(code int) ending { return ending{err: &CloseError{Code: code}, live: time.Minute} }
	refused := func(status int, code string) ending {
		return ending{err: fmt.Errorf("dial: %w", &Problem{Status: status, Code: code})}
	}
	const drawn = 500 * time.Millisecond // half of the first bound
	for name, c := range map[string]struct {
		end  ending
		want verdict
	}{
		"network":              {ending{err: errors.New("reset by peer")}, verdict{wait: drawn}},
		"a hole":               {ending{err: errHole}, verdict{wait: drawn}},
		"going away":           {closed(1001), verdict{wait: drawn}},
		"restart, told when":   {ending{err: &CloseError{Code: 1012}, bye: true, comeAfter: 250 * time.Millisecond}, verdict{wait: 250 * time.Millisecond}},
		"restart, not told":    {closed(1012), verdict{wait: drawn}},
		"too slow":             {closed(4008), verdict{}},
		"too slow at once":     {ending{err: &CloseError{Code: 4008}}, verdict{wait: drawn}},
		"no pong":              {closed(4009), verdict{}},
		"over the limits":      {closed(4029), verdict{wait: drawn}},
		"token":                {closed(4401), verdict{renew: true}},
		"server fault":         {closed(4500), verdict{wait: drawn}},
		"a code of the future": {closed(4777), verdict{wait: drawn}},
		"401":                  {refused(401, "unauthenticated"), verdict{renew: true}},
		"503":                  {refused(503, "draining"), verdict{wait: drawn}},
		"a balancer's 401":     {refused(401, ""), verdict{wait: drawn}},
		"a balancer's 403":     {refused(403, ""), verdict{wait: drawn}},
		"a balancer's 404":     {refused(404, ""), verdict{wait: drawn}},
		"a later refusal":      {refused(409, "not_today"), verdict{wait: drawn}},
		"429, told when":       {ending{err: &Problem{Status: 429, RetryAfter: 7 * time.Second}}, verdict{wait: 7 * time.Second}},
	} {
		b := backoff{random: func() float64 { return 0.5 }}
		require.Equal(t, c.want, b.judge(c.end), name)
	}
	for _, end := range []ending{
		closed(4400), closed(4403), closed(4404), closed(4413), closed(4499), refused(403, "origin"),
		refused(404, "not_found"), refused(426, "upgrade_required"),
		{err: ErrSignedOut},
	} {
		b := backoff{random: func() float64 { return 0.5 }}
		require.Error(t, b.judge(end).stop, "%v", end.err)
	}
}

func TestBackoff_forgivesAfterASteadyConnection(t *testing.T) {
	t.Parallel()
	b := backoff{random: func() float64 { return 0.5 }}
	for range 5 {
		b.judge(ending{err: errors.New("refused")})
	}
	require.Equal(t, 16*time.Second, b.judge(ending{err: errors.New("reset"), live: time.Second}).wait)
	require.Equal(t, 500*time.Millisecond, b.judge(ending{err: errors.New("reset"), live: time.Minute}).wait)
}

// TestOutbox_order compares the ack queue with a model: whatever is acknowledged, deferred or cut off, every
// connection gets the unsettled drafts in the order in which they were added.
func TestOutbox_order(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var o outbox
		var model []string // unsettled, in order
		written := map[string]bool{}
		added := 0
		take := func() {
			var want string
			for _, id := range model {
				if !written[id] {
					want = id
					break
				}
			}
			d := o.take()
			if want == "" {
				require.Nil(t, d)
				return
			}
			require.Equal(t, want, d.clientID)
			written[want] = true
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(*rapid.T) {
				id := fmt.Sprint(added)
				added++
				require.True(t, o.add(&draft{clientID: id}))
				require.False(t, o.add(&draft{clientID: id}))
				model = append(model, id)
			},
			"take": func(*rapid.T) { take() },
			"settle": func(t *rapid.T) {
				if len(model) == 0 {
					require.False(t, o.settle("none"))
					return
				}
				i := rapid.IntRange(0, len(model)-1).Draw(t, "which")
				require.True(t, o.settle(model[i]))
				require.False(t, o.settle(model[i]))
				model = append(model[:i:i], model[i+1:]...)
			},
			"defer": func(t *rapid.T) {
				if len(model) > 0 {
					id := rapid.SampledFrom(model).Draw(t, "which")
					o.putBack(id, time.Time{})
					written[id] = false
				}
			},
			"new connection": func(*rapid.T) {
				o.rewind()
				clear(written)
			},
			"": func(*rapid.T) { require.Equal(t, len(model), o.len()) },
		})
		o.rewind()
		clear(written)
		for range len(model) + 1 {
			take()
		}
		require.Len(t, o.clear(), len(model))
	})
}
