package soak

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// All invariants of the chat at once: random clients on three instances, while processes, Redis and the network fail.
func TestSoak(t *testing.T) {
	t.Parallel()
	seed := *soakSeed
	for seed == 0 {
		seed = rand.Uint64() >> 32
	}
	again := fmt.Sprintf("go test ./internal/testing/soak -run 'TestSoak$' -count=1 -soak.time=%s -soak.seed=%d",
		*soakTime, seed)
	t.Logf("again: %s", again)
	w := newWorld(t, seed)
	w.discover()
	w.calm.Store(true)
	require.NoError(t, w.each(func(d *device) error {
		if !d.signIn() {
			return fmt.Errorf("%s cannot sign in", d.name)
		}
		return nil
	}))
	w.calm.Store(false)
	w.chaos(*soakTime)
	w.heal(t)
	w.calm.Store(true)
	complete := w.settle()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	w.conclude(ctx)
	history := w.rec.Entries()
	w.summary(history)
	found := Check(history)
	report(t, history, found, again)
	for _, in := range w.instances {
		assert.False(t, in.log.crashed(), "instance %d panicked, had a data race, or did not stop", in.n)
	}
	require.NoError(t, complete, "everything comes to rest")
}

// discover finds out what the service can do.
func (w *world) discover() {
	w.t.Helper()
	resp, err := probes.Get("http://" + w.instances[0].addr + "/openapi.json")
	require.NoError(w.t, err)
	defer resp.Body.Close()
	var api struct {
		Paths map[string]any `json:"paths"`
	}
	require.NoError(w.t, json.NewDecoder(resp.Body).Decode(&api))
	has := func(end string) bool {
		for path := range api.Paths {
			if strings.HasSuffix(path, end) {
				return true
			}
		}
		return false
	}
	w.closes, w.counts, w.edits = has("/conversation/close"), has("/me/unread"), has("/messages/{seq}/retract")
}

// chaos runs the devices and the nemesis for a while. In the last quarter only broadcasts fail, so that clients that
// reconnect do not make up for lost ones.
func (w *world) chaos(d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	w.watch(ctx)
	var all sync.WaitGroup
	all.Go(func() {
		early, cancel := context.WithTimeout(ctx, d*3/4)
		defer cancel()
		w.unleash(early, w.processFaults(), slices.Concat(w.roadFaults(), w.busFaults()))
		w.unleash(ctx, w.busFaults())
	})
	for _, dev := range w.devices {
		all.Go(func() { dev.run(ctx) })
	}
	all.Go(func() { w.stranger.trespass(ctx) })
	all.Go(func() { w.endOne(ctx, d*2/3) })
	all.Wait()
}

// unleash runs a nemesis for each set of faults until ctx ends.
func (w *world) unleash(ctx context.Context, sets ...[]fault) {
	var all sync.WaitGroup
	for _, bad := range sets {
		m := &nemesis{w: w, rnd: rand.New(rand.NewPCG(w.seed, w.fates.Add(1))), bad: bad}
		all.Go(func() { m.run(ctx) })
	}
	all.Wait()
}

// endOne cancels the last conversation's appointment after a while, in the middle of everything.
func (w *world) endOne(ctx context.Context, after time.Duration) {
	t := time.NewTimer(after)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return
	}
	d := &device{
		w: w, rnd: rand.New(rand.NewPCG(w.seed, 1<<20)), name: "doctor-ends", email: "doctor@soak.test", user: w.doctor,
		place: w.places[len(w.places)-1], changed: make(chan struct{}), after: -1,
	}
	d.cancel(ctx)
}

// settle has all devices learn the outcome of what they wrote, and follow the log to its end. The error names one that
// did not get there.
func (w *world) settle() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	defer func() {
		for _, d := range w.devices {
			d.hangUp()
		}
		w.readers.Wait()
	}()
	if err := w.each(func(d *device) error { return d.gather(ctx) }); err != nil {
		return err
	}
	if err := w.each(func(d *device) error { return d.resolve(ctx) }); err != nil {
		return err
	}
	db, err := pgx.Connect(ctx, w.dsn)
	if err != nil {
		return err
	}
	defer db.Close(ctx)
	heads := map[*place]int64{}
	for _, p := range w.places {
		heads[p] = w.head(ctx, db, p)
	}
	if err := w.each(func(d *device) error { return d.arrive(ctx, heads[d.place]) }); err != nil {
		return err
	}
	return w.count(ctx, db, heads)
}

// each runs f on all devices at once.
func (w *world) each(f func(*device) error) error {
	failures := make([]error, len(w.devices))
	var all sync.WaitGroup
	for i, d := range w.devices {
		all.Go(func() { failures[i] = f(d) })
	}
	all.Wait()
	return errors.Join(failures...)
}

// gather waits until the device is connected, and then sends something to all others, so that those who have missed
// something notice.
func (d *device) gather(ctx context.Context) error {
	if d.user == d.w.doctor && d.w.closes {
		d.reopen(ctx)
	}
	for ctx.Err() == nil {
		if d.connected(ctx) {
			d.desk().compose(Send, d.words(), 0)
			return nil
		}
	}
	return fmt.Errorf("%s cannot connect", d.name)
}

// resolve sends whatever has no answer until it has one.
func (d *device) resolve(ctx context.Context) error {
	for ctx.Err() == nil {
		if !d.connected(ctx) {
			continue
		}
		open := d.desk().open()
		if len(open) == 0 {
			return nil
		}
		for _, p := range open {
			d.link.attempt(p)
		}
		answered := func() bool { n, _ := d.link.waiting(); return n == 0 }
		if !d.await(ctx, answered) || len(d.desk().open()) > 0 {
			d.pause(ctx, 50*time.Millisecond, 300*time.Millisecond)
		}
	}
	return fmt.Errorf("%s has %d messages without an answer", d.name, len(d.desk().open()))
}

// connected makes sure that the device has a live socket, which answers a ping.
func (d *device) connected(ctx context.Context) bool {
	if d.link != nil {
		select {
		case <-d.link.over:
			d.hangUp()
		default:
		}
	}
	if d.link == nil && !d.connect() {
		d.pause(ctx, 50*time.Millisecond, 300*time.Millisecond)
		return false
	}
	soon, cancel := context.WithTimeout(ctx, calm/3)
	defer cancel()
	before := d.link.heard()
	d.link.send(object{"type": "ping"})
	if d.await(soon, func() bool { live, _ := d.link.state(); return live && d.link.heard() > before }) {
		return true
	}
	d.hangUp()
	return false
}

// arrive follows the log to head; half of the people then report it as read.
func (d *device) arrive(ctx context.Context, head int64) error {
	for ctx.Err() == nil {
		if !d.connected(ctx) {
			continue
		}
		if !d.await(ctx, func() bool { _, last := d.link.state(); return last >= head }) {
			continue
		}
		if d.reads() {
			d.link.cursor(Read, head)
		}
		if err := d.browseAll(ctx, head); err != nil {
			return err
		}
		d.link.record(Entry{What: Final})
		return nil
	}
	return fmt.Errorf("%s did not get to %d in %s", d.name, head, d.place.id)
}

// reads tells whether this person reads everything at the end.
func (d *device) reads() bool { return (d.user == d.w.doctor) == (d.place == d.w.places[0]) }

// count waits until the cursors are where the readers reported, and asks for everyone's unread counts while none
// moves.
func (w *world) count(ctx context.Context, db *pgx.Conn, heads map[*place]int64) error {
	for ctx.Err() == nil {
		before := w.allCursors(ctx, db)
		there := !slices.ContainsFunc(w.devices,
			func(d *device) bool { return d.reads() && before[person{d.place.id, d.user}].read < heads[d.place] })
		if there {
			counts, err := w.unread(ctx)
			if err != nil {
				return err
			}
			if after := w.allCursors(ctx, db); assert.ObjectsAreEqual(before, after) {
				for _, e := range counts {
					w.rec.Add(e)
				}
				return nil
			}
		}
		w.devices[0].pause(ctx, 50*time.Millisecond, 100*time.Millisecond)
	}
	return errors.New("the cursors did not get to where everybody has read")
}

func (w *world) allCursors(ctx context.Context, db *pgx.Conn) map[person]cursors {
	out := map[person]cursors{}
	for _, p := range w.places {
		for user, c := range w.cursorsOf(ctx, db, p) {
			out[person{p.id, user}] = c
		}
	}
	return out
}

// unread asks for everyone's counts; someone without a count gets an entry with 0.
func (w *world) unread(ctx context.Context) (out []Entry, err error) {
	if !w.counts {
		return nil, nil
	}
	for _, d := range w.devices {
		var list struct {
			Items []struct {
				AppointmentID string `json:"appointmentId"`
				Unread        int64  `json:"unread"`
			} `json:"items"`
		}
		_, addr := d.front()
		if err := rest(ctx, addr, d.token, http.MethodGet, "/me/unread", nil, &list); err != nil {
			return nil, fmt.Errorf("ask for unread counts: %w", err)
		}
		e := Entry{What: Unread, User: d.user, Device: d.name, Conversation: d.place.id}
		for _, it := range list.Items {
			if it.AppointmentID == d.place.id {
				e.Count = it.Unread
			}
		}
		out = append(out, e)
	}
	return out, nil
}

// summary logs how much the run covered.
func (w *world) summary(history []Entry) {
	counts := map[string]int{}
	for _, e := range history {
		name := string(e.What)
		switch e.What {
		case Begin:
			name += " " + string(e.Action)
		case Nack:
			name += " " + e.Code
		case Ack:
			name += map[bool]string{true: " again"}[e.Duplicate]
		case Log:
			name += " " + e.Event.Kind
		}
		counts[name]++
	}
	w.t.Logf("%d entries: %v", len(history), counts)
}

// report fails the test for each broken promise, with a counterexample for the first of each rule.
func report(t *testing.T, history []Entry, found []Violation, again string) {
	t.Helper()
	if len(found) == 0 {
		return
	}
	file := filepath.Join(os.TempDir(), fmt.Sprintf("housecall-soak-%d.jsonl", time.Now().UnixNano()))
	require.NoError(t, save(file, history))
	told := map[string]bool{}
	for _, v := range found {
		if !told[v.Rule] {
			t.Errorf("%s", Counterexample(history, v))
		}
		told[v.Rule] = true
	}
	t.Errorf(
		"%d broken promises of %d rules\nagain: %s\nthe whole history: go test ./internal/testing/soak -run TestReplay "+
			"-soak.history=%s",
		len(found), len(told), again, file,
	)
}

func save(file string, history []Entry) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	out := json.NewEncoder(f)
	for _, e := range history {
		err = errors.Join(err, out.Encode(e))
	}
	return errors.Join(err, f.Close())
}

// TestReplay checks a stored history again, for work on a rule or on what broke it.
func TestReplay(t *testing.T) {
	t.Parallel()
	if *soakHistory == "" {
		t.Skip("-soak.history names none")
	}
	f, err := os.Open(*soakHistory)
	require.NoError(t, err)
	defer f.Close()
	var history []Entry
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e Entry
		require.NoError(t, json.Unmarshal(lines.Bytes(), &e))
		history = append(history, e)
	}
	require.NoError(t, lines.Err())
	for _, v := range Check(history) {
		t.Errorf("%s", Counterexample(history, v))
	}
}
