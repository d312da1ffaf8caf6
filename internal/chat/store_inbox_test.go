package chat

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"housecall/internal/auth"
)

// TestStandings_CountRight: whatever a log holds and wherever cursors stand, the count is that of the events as they stand now.
func TestStandings_CountRight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rapid.Check(t, func(r *rapid.T) {
		room := w.room()
		people := []auth.Actor{w.patient, w.doctor}
		open := map[int64]auth.Actor{} // what can be taken back, and by whom
		var known seats
		look := rapid.IntRange(0, 25).Draw(r, "look") // after how many events somebody looks for the first time
		for n := range rapid.IntRange(0, 25).Draw(r, "events") {
			if n == look {
				known = w.seats(r, room)
			}
			if rapid.IntRange(0, 9).Draw(r, "reads") == 0 {
				seq := rapid.Int64Range(0, 25).Draw(r, "seq")
				_, err := saveReceipts(context.Background(), w.pool, []int64{room}, []int64{w.doctor.ID}, []int64{seq}, []int64{seq})
				require.NoError(r, err)
			}
			sender := rapid.SampledFrom(people).Draw(r, "sender")
			kind := rapid.SampledFrom([]Kind{KindText, KindText, KindAttachment, KindSystem, KindRetraction, KindCorrection}).Draw(r, "kind")
			target := int64(0)
			if kind == KindRetraction || kind == KindCorrection {
				for seq, by := range open {
					target, sender = seq, by
				}
				if target == 0 {
					continue
				}
			}
			if kind == KindSystem {
				w.exec(`with b as (update conversations set head_seq = head_seq + 1 where id = $1 returning head_seq)
					insert into messages (room_id, seq, at, kind, body) select $1, head_seq, clock_timestamp(), 'system', 'x' from b`, room)
				continue
			}
			seq := w.append(room, kind, sender, target)
			switch kind {
			case KindText, KindAttachment:
				open[seq] = sender
			case KindRetraction:
				delete(open, target)
			case KindSystem, KindCorrection:
			}
		}
		events := w.log(room)
		read := rapid.Int64Range(0, int64(len(events))).Draw(r, "read")
		_, err := saveReceipts(context.Background(), w.pool, []int64{room}, []int64{w.patient.ID}, []int64{read}, []int64{read})
		require.NoError(r, err)
		got, err := standingsIn(context.Background(), w.pool, []int64{room}, []int64{w.patient.ID, w.doctor.ID}, known)
		require.NoError(r, err)
		require.Len(r, got, 2)
		for _, st := range got {
			me, from := w.patient.UserID, read
			if st.UserID == w.doctor.ID {
				me, from = w.doctor.UserID, st.ReadSeq
			}
			var want int64
			for _, e := range events {
				if e.Seq > from && e.Sender != me && !e.Retracted && (e.Kind == KindText || e.Kind == KindAttachment) {
					want++
				}
			}
			require.Equal(r, want, st.Unread)
			require.EqualValues(r, len(events), st.HeadSeq)
			require.NotEqual(r, me, st.OtherID)
		}
	})
}

// seats looks at both seats of a room.
func (w *world) seats(t require.TestingT, room int64) (known seats) {
	all, err := standingsIn(context.Background(), w.pool, []int64{room}, []int64{w.patient.ID, w.doctor.ID}, seats{})
	require.NoError(t, err)
	for _, st := range all {
		known.add(seat{room, st.UserID}, mark{head: st.HeadSeq, read: st.ReadSeq, unread: int32(st.Unread)})
	}
	return known
}

// TestUnreadOf: pages hold every conversation with something unread once, what has changed last first, and every page knows the
// counts of all.
func TestUnreadOf(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	page, all, err := unreadOf(ctx, w.pool, w.doctor.ID, nil, 10)
	require.NoError(t, err)
	require.Empty(t, page)
	require.Zero(t, all)
	stranger := w.user(auth.Doctor)
	var want []int64
	for n := range 7 {
		room := w.room()
		for range n {
			w.append(room, KindText, w.patient, 0)
		}
		w.append(room, KindText, w.doctor, 0)
		if n > 0 {
			want = append([]int64{room}, want...)
		}
	}
	w.exec(`update messages set at = $1 where room_id in ($2, $3)`, time.Now().Add(-time.Hour), want[0], want[1]) // at one time, before the others
	want = append(want[2:], want[0], want[1])
	var got []int64
	var key *unreadKey
	for pages := 0; ; pages++ {
		page, all, err = unreadOf(ctx, w.pool, w.doctor.ID, key, 2)
		require.NoError(t, err)
		require.Equal(t, unreadCounts{messages: 21, conversations: 6}, all)
		if len(page) == 0 {
			require.Equal(t, 3, pages)
			break
		}
		for _, st := range page {
			got = append(got, st.RoomID)
			require.Equal(t, w.patient.UserID, st.OtherID)
			key = &unreadKey{*st.At, st.RoomID}
		}
	}
	require.Equal(t, want, got)
	for _, a := range []auth.Actor{stranger, {ID: 1 << 40}} {
		_, all, err = unreadOf(ctx, w.pool, a.ID, nil, 2)
		require.NoError(t, err)
		require.Zero(t, all)
	}
}

// ward2000 is a doctor with 2,000 conversations of 500 messages each, all read but for the last ones.
func ward2000(t testing.TB, unread int) *world {
	w := newWorld(t)
	w.exec(`insert into appointments (public_id, patient_id, doctor_id, status, starts_at, ends_at)
		select 'APP' || lpad(g::text, 10, '0'), $1, $2, 'BOOKED', now(), now() + interval '30 minutes' from generate_series(1, 2000) g`,
		w.patient.ID, w.doctor.ID)
	w.exec(`insert into conversations (id, head_seq) select id, 500 from appointments`)
	w.exec(`insert into messages (room_id, seq, at, kind, sender_id, client_id, body)
		select a.id, g, now() - (500 - g) * interval '1 hour', 'text', case g % 2 when 0 then $1::bigint else $2::bigint end, gen_random_uuid(), repeat('x', 60)
		from generate_series(1, 500) g, appointments a`, w.patient.ID, w.doctor.ID) // interleaved on disk, as messages are
	w.exec(`insert into receipts (room_id, user_id, delivered_seq, read_seq) select id, $1, 500, 500 - $2::int from appointments`, w.doctor.ID, unread)
	w.exec(`vacuum analyze`)
	return w
}

// clock is PostgreSQL's time.
func (w *world) clock() (at time.Time) {
	w.t.Helper()
	require.NoError(w.t, w.pool.QueryRow(context.Background(), `select now()`).Scan(&at))
	return at
}

// TestStandings_Plan: a count reads the log from the cursor on, by its primary key, and nothing before it.
func TestStandings_Plan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 50 {
		w.fill(w.room(), 200)
	}
	w.exec(`insert into receipts (room_id, user_id, delivered_seq, read_seq) select id, $1, 200, 190 from conversations`, w.doctor.ID)
	w.exec(`vacuum analyze`)
	for name, sql := range map[string]string{
		"all of one": selectStandings + `where (a.patient_id = 2 or a.doctor_id = 2) and w.user_id = 2`,
		"some rooms": strings.NewReplacer("$3", "'{1}'", "$4", "'{1}'", "$5", "'{5}'", "$6", "'{3}'", "$7", "'{2}'").Replace(selectChanged) +
			`where a.id = any('{1,2,3}'::bigint[]) and w.user_id = any('{1,2}'::bigint[])`,
	} {
		rows, err := w.pool.Query(context.Background(), `explain `+sql)
		require.NoError(t, err)
		var plan strings.Builder
		for rows.Next() {
			var line string
			require.NoError(t, rows.Scan(&line))
			plan.WriteString(line + "\n")
		}
		require.NoError(t, rows.Err())
		require.Regexp(t, `Index Scan using messages_pkey on messages m\s.*\n.*Index Cond: \(\(room_id = a\.id\) AND \(seq > COALESCE\((k\.head_seq, )?r\.read_seq`,
			plan.String(), name)
	}
}

// BenchmarkUnread is what a whole list costs, over REST and as an inbox opens, and what the sweep does, of 2,000 conversations with 500 messages
// each. README has the figures.
func BenchmarkUnread(b *testing.B) {
	b.Run("sweep", func(b *testing.B) {
		w := ward2000(b, 20)
		all, err := standingsOf(context.Background(), w.pool, w.doctor.ID)
		require.NoError(b, err)
		var r readers
		for _, st := range all {
			r.rooms, r.users, r.reads = append(r.rooms, st.RoomID), append(r.users, st.UserID), append(r.reads, st.ReadSeq)
		}
		now := w.clock().Add(-time.Second)
		for b.Loop() {
			out, err := stirredSince(context.Background(), w.pool, &now, 20*time.Second, []int64{w.doctor.ID, w.patient.ID}, r)
			require.NoError(b, err)
			b.ReportMetric(float64(len(out.stirred)), "found")
		}
	})
	for name, unread := range map[string]int{"read": 0, "20 each": 20, "all": 500} {
		b.Run(name, func(b *testing.B) {
			w := ward2000(b, unread)
			b.Run("page", func(b *testing.B) {
				for b.Loop() {
					_, all, err := unreadOf(context.Background(), w.pool, w.doctor.ID, nil, 20)
					require.NoError(b, err)
					require.EqualValues(b, 2000*unread/2, all.messages)
				}
			})
			b.Run("inbox", func(b *testing.B) {
				for b.Loop() {
					all, err := standingsOf(context.Background(), w.pool, w.doctor.ID)
					require.NoError(b, err)
					require.Len(b, all, 2000)
				}
			})
		})
	}
}
