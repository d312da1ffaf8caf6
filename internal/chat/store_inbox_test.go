package chat

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"housecall/internal/auth"
	"housecall/internal/conversation"
)

// TestStandings_CountRight: whatever a log holds and wherever the cursors are, the count is that of the events as they
// are now.
func TestStandings_CountRight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rapid.Check(t, func(r *rapid.T) {
		id := w.Conversation()
		people := []auth.Actor{w.Patient, w.Doctor}
		open := map[int64]auth.Actor{} // what can be retracted, and by whom
		var known seats
		look := rapid.IntRange(0, 25).Draw(r, "look") // after how many events somebody looks for the first time
		for n := range rapid.IntRange(0, 25).Draw(r, "events") {
			if n == look {
				known = w.seats(r, id)
			}
			if rapid.IntRange(0, 9).Draw(r, "reads") == 0 {
				seq := rapid.Int64Range(0, 25).Draw(r, "seq")
				w.reached(id, w.Doctor.ID, seq, seq)
			}
			sender := rapid.SampledFrom(people).Draw(r, "sender")
			kind := rapid.SampledFrom([]conversation.Kind{conversation.KindText, conversation.KindText, conversation.KindAttachment, conversation.KindSystem, conversation.KindRetraction, conversation.KindCorrection}).
				Draw(r, "kind")
			target := int64(0)
			if kind == conversation.KindRetraction || kind == conversation.KindCorrection {
				for seq, by := range open {
					target, sender = seq, by
				}
				if target == 0 {
					continue
				}
			}
			if kind == conversation.KindSystem {
				w.Exec(`with b as (update conversations set head_seq = head_seq + 1 where id = $1 returning head_seq)
					insert into messages (room_id, seq, at, kind, body) select $1, head_seq, clock_timestamp(), 'system', 'x' from b`, id)
				continue
			}
			seq := w.append(id, kind, sender, target)
			switch kind {
			case conversation.KindText, conversation.KindAttachment:
				open[seq] = sender
			case conversation.KindRetraction:
				delete(open, target)
			case conversation.KindSystem, conversation.KindCorrection:
			}
		}
		events := w.events(id)
		read := rapid.Int64Range(0, int64(len(events))).Draw(r, "read")
		w.reached(id, w.Patient.ID, read, read)
		got, err := standingsIn(context.Background(), w.Pool, []int64{id}, []int64{w.Patient.ID, w.Doctor.ID}, known)
		require.NoError(r, err)
		require.Len(r, got, 2)
		for _, st := range got {
			me, from := w.Patient.UserID, read
			if st.UserID == w.Doctor.ID {
				me, from = w.Doctor.UserID, st.ReadSeq
			}
			var want int64
			for _, e := range events {
				if e.Seq > from && e.Sender != me && !e.Retracted &&
					(e.Kind == conversation.KindText || e.Kind == conversation.KindAttachment) {
					want++
				}
			}
			require.Equal(r, want, st.Unread)
			require.EqualValues(r, len(events), st.HeadSeq)
			require.NotEqual(r, me, st.OtherID)
		}
	})
}

// seats looks at both seats of a conversation.
func (w *world) seats(t require.TestingT, id int64) (known seats) {
	all, err := standingsIn(context.Background(), w.Pool, []int64{id}, []int64{w.Patient.ID, w.Doctor.ID}, seats{})
	require.NoError(t, err)
	for _, st := range all {
		known.add(seat{id, st.UserID}, mark{head: st.HeadSeq, read: st.ReadSeq, unread: int32(st.Unread)})
	}
	return known
}

// TestUnreadOf: the pages list every conversation with something unread once, the most recently changed first, and
// every page has the totals.
func TestUnreadOf(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	page, all, err := unreadOf(ctx, w.Pool, w.Doctor.ID, nil, 10)
	require.NoError(t, err)
	require.Empty(t, page)
	require.Zero(t, all)
	stranger := w.User(auth.Doctor)
	var want []int64
	for n := range 7 {
		id := w.Conversation()
		for range n {
			w.append(id, conversation.KindText, w.Patient, 0)
		}
		w.append(id, conversation.KindText, w.Doctor, 0)
		if n > 0 {
			want = append([]int64{id}, want...)
		}
	}
	w.Exec(`update messages set at = $1 where room_id in ($2, $3)`, time.Now().Add(-time.Hour), want[0],
		want[1]) // at one time, before the others
	want = append(want[2:], want[0], want[1])
	var got []int64
	var key *unreadKey
	for pages := 0; ; pages++ {
		page, all, err = unreadOf(ctx, w.Pool, w.Doctor.ID, key, 2)
		require.NoError(t, err)
		require.Equal(t, unreadCounts{messages: 21, conversations: 6}, all)
		if len(page) == 0 {
			require.Equal(t, 3, pages)
			break
		}
		for _, st := range page {
			got = append(got, st.ID)
			require.Equal(t, w.Patient.UserID, st.OtherID)
			key = &unreadKey{*st.At, st.ID}
		}
	}
	require.Equal(t, want, got)
	for _, a := range []auth.Actor{stranger, {ID: 1 << 40}} {
		_, all, err = unreadOf(ctx, w.Pool, a.ID, nil, 2)
		require.NoError(t, err)
		require.Zero(t, all)
	}
}

// ward2000 is a doctor with 2,000 conversations of 500 messages each, all read except the last ones.
func ward2000(t testing.TB, unread int) *world {
	w := newWorld(t)
	w.Exec(`insert into appointments (public_id, patient_id, doctor_id, status, starts_at, ends_at)
		select 'APP' || lpad(g::text, 10, '0'), $1, $2, 'BOOKED', now(), now() + interval '30 minutes' from generate_series(1, 2000) g`,
		w.Patient.ID, w.Doctor.ID)
	w.Exec(`insert into conversations (id, head_seq) select id, 500 from appointments`)
	w.Exec(`insert into messages (room_id, seq, at, kind, sender_id, client_id, body)
		select a.id, g, now() - (500 - g) * interval '1 hour', 'text', case g % 2 when 0 then $1::bigint else $2::bigint end, gen_random_uuid(), repeat('x', 60)
		from generate_series(1, 500) g, appointments a`, w.Patient.ID, w.Doctor.ID) // interleaved on disk, as messages are
	w.Exec(
		`insert into receipts (room_id, user_id, delivered_seq, read_seq) select id, $1, 500, 500 - $2::int from appointments`,
		w.Doctor.ID, unread,
	)
	w.Exec(`vacuum analyze`)
	return w
}

// clock is PostgreSQL's time.
func (w *world) clock() (at time.Time) {
	w.T.Helper()
	require.NoError(w.T, w.Pool.QueryRow(context.Background(), `select now()`).Scan(&at))
	return at
}

// TestStandings_Plan: a count reads the log from the cursor on, by its primary key, and nothing before it.
func TestStandings_Plan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 50 {
		w.fill(w.Conversation(), 200)
	}
	w.Exec(`insert into receipts (room_id, user_id, delivered_seq, read_seq) select id, $1, 200, 190 from conversations`,
		w.Doctor.ID)
	w.Exec(`vacuum analyze`)
	for name, sql := range map[string]string{
		"all of one": strings.ReplaceAll(selectStandings, "$1", "2"),
		"some": strings.NewReplacer("$1", "'{1,2,3}'::bigint[]", "$2", "'{1,2}'::bigint[]", "$3", "'{1}'", "$4", "'{1}'",
			"$5", "'{5}'", "$6", "'{3}'", "$7", "'{2}'").Replace(selectChanged),
	} {
		rows, err := w.Pool.Query(context.Background(), `explain `+sql)
		require.NoError(t, err)
		var plan strings.Builder
		for rows.Next() {
			var line string
			require.NoError(t, rows.Scan(&line))
			plan.WriteString(line + "\n")
		}
		require.NoError(t, rows.Err())
		require.Regexp(t,
			`Index Scan using messages_pkey on messages m\s.*\n.*Index Cond: \(\(room_id = a\.id\) AND \(seq > COALESCE\((k\.head_seq, )?r\.read_seq`,
			plan.String(), name)
	}
}

// BenchmarkUnread is what a whole list costs, over REST and as an inbox opens, and what the sweep does, of 2,000
// conversations with 500 messages each. cmd/loadtest/README.md has the figures.
func BenchmarkUnread(b *testing.B) {
	b.Run("sweep", func(b *testing.B) {
		w := ward2000(b, 20)
		all, err := standingsOf(context.Background(), w.Pool, w.Doctor.ID)
		require.NoError(b, err)
		var r readers
		for _, st := range all {
			r.ids, r.users, r.reads = append(r.ids, st.ID), append(r.users, st.UserID), append(r.reads, st.ReadSeq)
		}
		now := w.clock().Add(-time.Second)
		for b.Loop() {
			out, err := grownSince(context.Background(), w.Pool, span{&now, 20 * time.Second},
				[]int64{w.Doctor.ID, w.Patient.ID}, r)
			require.NoError(b, err)
			b.ReportMetric(float64(len(out.leads)), "found")
		}
	})
	for name, unread := range map[string]int{"read": 0, "20 each": 20, "all": 500} {
		b.Run(name, func(b *testing.B) {
			w := ward2000(b, unread)
			b.Run("page", func(b *testing.B) {
				for b.Loop() {
					_, all, err := unreadOf(context.Background(), w.Pool, w.Doctor.ID, nil, 20)
					require.NoError(b, err)
					require.EqualValues(b, 2000*unread/2, all.messages)
				}
			})
			b.Run("inbox", func(b *testing.B) {
				for b.Loop() {
					all, err := standingsOf(context.Background(), w.Pool, w.Doctor.ID)
					require.NoError(b, err)
					require.Len(b, all, 2000)
				}
			})
		})
	}
}
