package search

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/conversation"
)

var benchMessages = flag.Int("messages", 5_000_000, "how many messages the benchmark of search has")

const (
	benchEach          = 167 // messages of a conversation, over three days
	benchConversations = 3000
	benchDays          = 1800 // over which the conversations are spread
)

// archive is five years of a clinic: a doctor with 3,000 conversations, a patient with 30, and thousands of others.
type archive struct {
	*instance
	busy, ill auth.Actor
}

// newArchive takes minutes. The words of its messages are as frequent as in what people write: w0 is in every third
// message, mid1 and the like in one of a hundred, rare1 and the like in a few. They are plain enough for PostgreSQL's
// own parser to make the documents.
func newArchive(b *testing.B) *archive {
	b.Helper()
	w := newWorld(b)
	a := &archive{busy: w.Doctor, ill: w.Patient}
	a.fillRegistry(w)
	conn, err := w.Pool.Acquire(context.Background())
	require.NoError(b, err)
	defer conn.Release()
	fillMessages(b, conn)
	a.instance = w.serve()
	return a
}

// fillRegistry makes the people, their appointments and empty conversations that are indexed already.
func (a *archive) fillRegistry(w *world) {
	w.Exec(`insert into users (public_id, email, name, role)
		select 'DOCBIG' || n, n || '@doc.test', 'Dr ' || n, 'DOCTOR' from generate_series(1, 100) n`)
	w.Exec(`insert into doctors (user_id) select id from users where public_id like 'DOCBIG%'`)
	w.Exec(`insert into users (public_id, email, name, role)
		select 'PATBIG' || n, n || '@pat.test', 'P ' || n, 'PATIENT' from generate_series(1, 8000) n`)
	w.Exec(`insert into patients (user_id) select id from users where public_id like 'PATBIG%'`)
	w.Exec(`insert into appointments (public_id, patient_id, doctor_id, status, starts_at, ends_at)
		select 'APPBIG' || g, case when g % ($4::int / 30) = 7 then $1 else p.user_id end,
			case when g <= $3 then $2 else d.user_id end, 'BOOKED', now(), now() + interval '1 hour'
		from generate_series(1, $4::int) g
		join (select user_id, row_number() over (order by user_id desc) - 1 as n from patients) p on p.n = g % 8000
		join (select user_id, row_number() over (order by user_id desc) - 1 as n from doctors) d on d.n = g % 100`,
		a.ill.ID, a.busy.ID, benchConversations, *benchMessages/benchEach)
	w.Exec(`insert into conversations (id, head_seq) select id, $1 from appointments`, benchEach)
	w.Exec(`insert into search_rooms (room_id, users, seq)
		select a.id, array(select p.user_id from participants p where p.appointment_id = a.id order by p.user_id), $1
		from appointments a`, benchEach)
}

// fillMessages makes the messages and their documents.
func fillMessages(b *testing.B, conn *pgxpool.Conn) {
	b.Helper()
	for _, sql := range []string{
		`set session_replication_role = replica`, // no foreign keys to check
		`set maintenance_work_mem = '1GB'`,
		`drop index search_documents_words_idx`,
		fmt.Sprintf(`insert into messages (room_id, seq, at, kind, sender_id, body)
			select a.id, s, now() - interval '1 day' * (%d - (a.id * 7919 %% 30000) / 30000.0 * %d - s / 60.0), 'text',
				a.patient_id, (select string_agg(case
					when random() < 0.002 then 'rare' || (random() * 50000)::int
					when random() < 0.1 then 'mid' || (300 * random() * random())::int
					else 'w' || (30000 * power(random(), 4))::int end, ' ')
					from generate_series(1, 6 + (a.id * 31 + s * 17)::int %% 14) x)
			from appointments a cross join generate_series(1, %d) s`, benchDays+3, benchDays, benchEach),
		`insert into search_documents select m.room_id, m.seq, m.at, (to_tsvector('simple', m.body)::text
				|| ' ''u' || a.patient_id || '.' || w || ''' ''u' || a.doctor_id || '.' || w || '''')::tsvector
			from (select *, (extract(epoch from at)::bigint / 604800) w from messages) m
			join appointments a on a.id = m.room_id order by m.at`,
		`insert into search_weeks select u, w, sum(n) from (
				select a.patient_id, a.doctor_id, extract(epoch from at)::bigint / 604800 w, count(*) n
				from search_documents d join appointments a on a.id = d.room_id group by 1, 2, 3
			) x cross join lateral (values (patient_id), (doctor_id)) v(u) group by 1, 2`,
		`create index search_documents_words_idx on search_documents using gin (words)
			with (gin_pending_list_limit = 512)`,
		`vacuum analyze`,
	} {
		started := time.Now()
		_, err := conn.Exec(context.Background(), sql)
		require.NoError(b, err)
		b.Logf("%s: %.40s", time.Since(started).Round(time.Second), sql)
	}
}

// benchQueries are what the benchmark searches for.
var benchQueries = []struct {
	name string
	word func() string
}{
	{"everywhere", func() string { return "w0" }},
	{"common", func() string { return fmt.Sprintf("w%d", 1+rand.IntN(20)) }},
	{"one of a hundred", func() string { return fmt.Sprintf("mid%d", rand.IntN(300)) }},
	{"rare", func() string { return fmt.Sprintf("rare%d", rand.IntN(50000)) }},
	{"absent", func() string { return fmt.Sprintf("nobody%d", rand.IntN(50000)) }},
	{"common and rare", func() string { return fmt.Sprintf("w0 rare%d", rand.IntN(50000)) }},
	{"common not common", func() string { return fmt.Sprintf("w%d -w0", 1+rand.IntN(20)) }},
	{"phrase", func() string { return fmt.Sprintf(`"w%d w%d"`, rand.IntN(3), rand.IntN(9)) }},
	{"common beginning", func() string { return "mid" }},
	{"rare beginning", func() string { return fmt.Sprintf("rare%d", 1000+rand.IntN(4000)) }},
	{"absent beginning", func() string { return fmt.Sprintf("nob%d", rand.IntN(50000)) }},
}

// BenchmarkSearch makes its data once:
//
//	go test ./internal/search -run xxx -bench Search -benchtime 200x -timeout 1h
func BenchmarkSearch(b *testing.B) {
	a := newArchive(b)
	for _, who := range []struct {
		name string
		auth.Actor
	}{{"patient", a.ill}, {"doctor", a.busy}} {
		for _, q := range benchQueries {
			b.Run(who.name+"/"+q.name, func(b *testing.B) {
				percentile95(b, func() {
					_, _, err := a.svc.Search(context.Background(), who.Actor, Want{Query: q.word(), Limit: 20})
					require.NoError(b, err)
				})
			})
		}
	}
	with, without, indexed := a.sending(b)
	b.Run("sending", func(b *testing.B) {
		for b.Loop() { // it has been measured
		}
		b.ReportMetric(without, "without/s")
		b.ReportMetric(with, "with/s")
		b.ReportMetric(with/without, "ratio")
		b.ReportMetric(indexed, "indexed/s")
	})
}

// percentile95 reports the 95th percentile of the times that f takes.
func percentile95(b *testing.B, f func()) {
	b.Helper()
	var times []time.Duration
	for b.Loop() {
		started := time.Now()
		f()
		times = append(times, time.Since(started))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)*95/100].Microseconds())/1000, "p95-ms")
}

// sending measures what indexing costs senders: messages a second in a closed loop over 200 conversations, by turns
// with and without indexing, and how many documents a second are written.
func (a *archive) sending(b *testing.B) (with, without, indexed float64) {
	b.Helper()
	const loops, turns, turn = 400, 6, 5 * time.Second
	ids := make([]int64, 200)
	for i := range ids {
		ids[i] = a.Conversation()
	}
	var sent atomic.Int64
	ctx, stop := context.WithCancel(context.Background())
	var work sync.WaitGroup
	for i := range loops {
		work.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				_, err := a.send(conversation.Draft{
					Conversation: ids[i%len(ids)], Sender: a.Patient, Kind: conversation.KindText,
					Text: fmt.Sprintf("w0 w%d mid%d and some other words %d", n%20, n%300, n),
				})
				if err != nil {
					b.Errorf("send: %v", err)
					return
				}
				sent.Add(1)
			}
		})
	}
	var total [2]int64
	for i := range 2 * turns {
		a.Exec(`update search_sweeps set rest_until = case when $1 then now() else 'infinity' end`, i%2 == 1)
		before := sent.Load()
		pause := time.NewTimer(turn)
		<-pause.C
		total[i%2] += sent.Load() - before
	}
	stop()
	work.Wait()
	documents := a.Number(`select count(*) from search_documents where room_id = any($1)`, ids)
	const seconds = float64(turns) * float64(turn) / float64(time.Second)
	return float64(total[1]) / seconds, float64(total[0]) / seconds, float64(documents) / seconds
}
