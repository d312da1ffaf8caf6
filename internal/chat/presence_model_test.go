package chat

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"housecall/internal/auth"
	"housecall/internal/bus"
)

// relay is a bus between many instances: what one publishes the others have at once, unless either is cut off. It
// delivers after publish has returned, as a real one does.
type relay struct {
	all    *practice
	origin uint64
	cut    bool
}

func (b *relay) publish(said broadcast, _ func(bus.Topic)) {
	said.origin = b.origin
	b.all.queue = append(b.all.queue, said)
}

// office is one instance.
type office struct {
	*presence
	bus       *relay
	devices   []device
	announced time.Time
}

// device is a connection, and what it was told of the other one last.
type device struct {
	user       auth.Actor
	subscriber *subscriber
	sink       *recorder
	told       any
}

// practice is instances that hear each other, and a clock.
type practice struct {
	now     time.Time
	offices []*office
	queue   []broadcast
}

func newPractice(n int) *practice {
	c := &practice{now: time.Date(2027, 3, 1, 10, 0, 0, 0, time.UTC)}
	for i := range n {
		h, b := hubOn(&logStub{}), &relay{all: c, origin: uint64(i)}
		c.offices = append(c.offices, &office{presence: newPresence(h, b.publish, func() time.Time { return c.now }), bus: b})
	}
	return c
}

func (c *practice) office(origin uint64) *office {
	for _, o := range c.offices {
		if o.bus.origin == origin {
			return o
		}
	}
	return nil
}

// deliver hands over what was published.
func (c *practice) deliver() {
	for len(c.queue) > 0 {
		n := c.queue[0]
		c.queue = c.queue[1:]
		if from := c.office(n.origin); from == nil || from.bus.cut {
			continue
		}
		for _, o := range c.offices {
			if o.bus.origin != n.origin && !o.bus.cut {
				o.receive(n)
			}
		}
	}
}

// second lets time pass, as the presence loop sees it.
func (c *practice) second() {
	c.now = c.now.Add(time.Second)
	for _, o := range c.offices {
		announce := c.now.Sub(o.announced) >= announceEvery
		if announce {
			o.announced = c.now
		}
		o.refresh(!o.bus.cut, announce)
	}
	c.deliver()
}

func (c *practice) join(t require.TestingT, o *office, a auth.Actor, other auth.Actor) {
	r := &recorder{}
	m, _ := o.hub.enter(testConversation, a.ID, r)
	require.True(t, m.goLive(0, liveAt(0)))
	r.take()
	o.look(testConversation, a.ID, a.UserID)
	var told any
	if v := o.look(testConversation, other.ID, other.UserID); v != nil {
		told = *v
	}
	r.take() // hello comes before what was sent while it was made
	o.devices = append(o.devices, device{a, m, r, told})
	o.joined(testConversation, a)
	c.deliver()
}

func (c *practice) leave(o *office, n int) {
	d := o.devices[n]
	o.devices = slices.Delete(o.devices, n, n+1)
	o.hub.leave(d.subscriber)
	o.left(testConversation, d.user)
	c.deliver()
}

// there tells whether somebody has a device anywhere.
func (c *practice) there(user int64) bool {
	return slices.ContainsFunc(c.offices, func(o *office) bool {
		return slices.ContainsFunc(o.devices, func(d device) bool { return d.user.ID == user })
	})
}

// reading is what one device was told of the other person: before, how often since, and at last; and what is true.
type reading struct {
	before, told any
	frames       int
	truth        bool
	other        int64
}

// read takes in what devices were told.
func (c *practice) read(t *testing.T, other map[int64]auth.Actor, check func(reading)) {
	t.Helper()
	for _, o := range c.offices {
		for n := range o.devices {
			d := &o.devices[n]
			r := reading{before: d.told, other: other[d.user.ID].ID}
			for _, f := range d.sink.take() {
				if m := fields(t, payload(t, wire(f))); m["userId"] == other[d.user.ID].UserID {
					require.NotEqual(t, d.told, m["online"], "a repetition is no news")
					d.told = m["online"]
					r.frames++
				}
			}
			r.told, r.truth = d.told, c.there(r.other)
			check(r)
		}
	}
}

// TestPresence_Model: people come and go with several devices on three instances, of which some lose the bus and some
// die. While the bus is well what devices were told is true at once, and a device that comes or goes beside another of
// its user is no news; and whatever has happened, 45 seconds after it everybody knows who is there.
func TestPresence_Model(t *testing.T) {
	t.Parallel()
	patient, doctor := auth.Actor{ID: 1, UserID: "PAT0000000001"}, auth.Actor{ID: 2, UserID: "DOC0000000001"}
	other := map[int64]auth.Actor{1: doctor, 2: patient}
	require.LessOrEqual(t, forgetAfter+time.Second, 45*time.Second, "the promise of the protocol")
	rapid.Check(t, func(r *rapid.T) {
		c := newPractice(3)
		for range 3 {
			c.second()
		}
		well := true
		for range rapid.IntRange(1, 25).Draw(r, "steps") {
			o := rapid.SampledFrom(c.offices).Draw(r, "office")
			before := map[int64]bool{1: c.there(1), 2: c.there(2)}
			switch op := rapid.SampledFrom([]string{"join", "join", "join", "leave", "leave", "second", "second", "cut", "mend", "die"}).Draw(r, "op"); op {
			case "join":
				a := rapid.SampledFrom([]auth.Actor{patient, doctor}).Draw(r, "who")
				c.join(r, o, a, other[a.ID])
			case "leave":
				if len(o.devices) > 0 {
					c.leave(o, rapid.IntRange(0, len(o.devices)-1).Draw(r, "device"))
				}
			case "second":
				c.second()
			case "cut":
				o.bus.cut, well = true, false
			case "mend":
				o.bus.cut = false
			case "die":
				if len(c.offices) > 1 {
					c.offices = slices.DeleteFunc(c.offices, func(each *office) bool { return each == o })
					well = false
				}
			}
			c.read(t, other, func(got reading) {
				switch {
				case well && got.truth:
					require.Equal(r, true, got.told)
				case well:
					require.NotEqual(r, true, got.told, "unknown rather than wrong")
				}
				if well && got.truth && before[got.other] && got.before == true {
					require.Zero(r, got.frames, "who stays with one device does not flicker when another goes")
				}
			})
		}
		for _, o := range c.offices {
			o.bus.cut = false
		}
		for range 45 {
			c.second()
		}
		c.read(t, other, func(got reading) { require.Equal(r, got.truth, got.told) })
		for range 60 {
			c.second()
		}
		c.read(t, other, func(got reading) { require.Zero(r, got.frames, "nothing happens, nothing is told") })
	})
}
