package soak

import (
	"context"
	"crypto/rand"
	"fmt"
	mrand "math/rand/v2"
	"net/http"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/app"
	"housecall/internal/config"
	"housecall/internal/devservices"
	"housecall/internal/testing/pgtest"
)

const (
	instances     = 3
	conversations = 3
	devices       = 2 // of each person in a conversation
)

// world is three instances of the service, with proxies on every connection, and the people who use it.
type world struct {
	t         *testing.T
	seed      uint64
	rec       *Recorder
	dsn       string
	redis     *devservices.Redis
	instances []*instance
	places    []*place
	devices   []*device
	doctor    string // user ids
	stranger  *device
	sessions  atomic.Int64
	fates     atomic.Uint64
	calm      atomic.Bool    // nothing fails now
	readers   sync.WaitGroup // goroutines that record
	closes    bool           // the service lets doctors close conversations,
	counts    bool           // gives unread counts,
	edits     bool           // and lets people retract and correct over REST
}

// place is a conversation.
type place struct {
	id      string
	patient string // user id
	desks   map[string]*desk
}

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	w := &world{t: t, seed: seed, rec: NewRecorder(), dsn: pgtest.DSN(t), redis: pgtest.Redis(t)}
	secret, mail := rand.Text()+rand.Text(), filepath.Join(t.TempDir(), "mail")
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	for n := range instances {
		w.instances = append(w.instances, w.newInstance(server, n+1, secret, mail))
	}
	t.Cleanup(w.stop)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, in := range w.instances {
		require.NoError(t, in.start())
	}
	for _, in := range w.instances {
		require.NoError(t, in.awaitReady(ctx))
	}
	w.populate(ctx)
	return w
}

func (w *world) newInstance(server *toxiproxy.ApiServer, n int, secret, mail string) *instance {
	w.t.Helper()
	in := &instance{n: n, addr: freeAddr(w.t), log: &tail{}}
	store, err := url.Parse(w.dsn)
	require.NoError(w.t, err)
	in.front, in.frontAddr = w.proxy(server, fmt.Sprintf("front-%d", n), in.addr)
	in.redis, in.redisAddr = w.proxy(server, fmt.Sprintf("redis-%d", n), w.redis.Addr())
	in.store, in.storeAddr = w.proxy(server, fmt.Sprintf("store-%d", n), store.Host)
	store.Host = in.storeAddr
	q := store.Query()
	q.Set("connect_timeout", "5")
	store.RawQuery = q.Encode()
	in.env = []string{beInstance + "=1", "PATH=/usr/local/bin:/usr/bin:/bin", "GORACE=halt_on_error=0"}
	for name, value := range map[string]string{
		"ADDR": in.addr, "PUBLIC_URL": "http://" + in.addr, "METRICS_ADDR": "off", "LOG_LEVEL": "warn",
		"DATABASE_URL": store.String(), "MIGRATE_DATABASE_URL": w.dsn, "REDIS_URL": fmt.Sprintf("redis://:%s@%s/0", w.redis.Password(), in.redisAddr),
		"TOKEN_SECRETS": secret, "MAIL_DIR": mail, "JOB_WORKERS": "1", "SHUTDOWN_TIMEOUT": "10s", "CLINIC_HOURS": "00:00-24:00", "CANCELLATION_WINDOW": "0s",
		"MAX_OPEN_REQUESTS": "1000", "LOGINS_PER_ACCOUNT": "1000000", "LOGINS_PER_ADDRESS": "1000000", "REGISTERS_PER_ADDRESS": "1000000",
		"SOCKETS_PER_USER": "100000", "SOCKETS_PER_ADDRESS": "100000", "MESSAGES_PER_SECOND": "100000", "USER_MESSAGES_PER_SECOND": "100000", "ROOM_MESSAGES_PER_SECOND": "100000",
	} {
		in.env = append(in.env, config.Prefix+name+"="+value)
	}
	return in
}

// proxy starts a proxy and returns its address: reading it from the proxy would race with a restart.
func (w *world) proxy(server *toxiproxy.ApiServer, name, to string) (p *toxiproxy.Proxy, addr string) {
	w.t.Helper()
	addr = freeAddr(w.t)
	p = toxiproxy.NewProxy(server, name, addr, to)
	require.NoError(w.t, p.Start())
	return p, addr
}

func (w *world) stop() {
	for _, in := range w.instances {
		in.end()
	}
	for _, in := range w.instances {
		for _, p := range in.roads() {
			p.Toxics.ResetToxics(context.Background())
			p.Stop()
		}
	}
	if w.t.Failed() {
		for _, in := range w.instances {
			w.t.Logf("instance %d said:\n%.4000s", in.n, in.log)
		}
	}
}

func (in *instance) roads() []*toxiproxy.Proxy {
	return []*toxiproxy.Proxy{in.front, in.redis, in.store}
}

// populate makes a doctor, a patient for each conversation, a stranger, and their devices.
func (w *world) populate(ctx context.Context) {
	w.t.Helper()
	_, err := app.CreateAdmin(ctx, w.config(), "Root", "root@soak.test", password)
	require.NoError(w.t, err)
	direct := w.instances[0].addr
	var invited struct {
		Invitation struct {
			Token string `json:"token"`
		} `json:"invitation"`
	}
	_, root := w.signIn(ctx, "root@soak.test")
	require.NoError(w.t, rest(ctx, direct, root, http.MethodPost, "/doctors", object{
		"name": "Dr Cara Lim", "email": "doctor@soak.test", "specialization": "", "qualification": "", "experience": 0,
		"phone": "",
	}, &invited))
	require.NoError(
		w.t,
		rest(ctx, direct, "", http.MethodPost, "/auth/invitations/accept",
			object{"token": invited.Invitation.Token, "password": password}, nil),
	)
	var token string
	w.doctor, token = w.signIn(ctx, "doctor@soak.test")
	for n := range conversations {
		email := fmt.Sprintf("patient%d@soak.test", n)
		patient := w.register(ctx, email)
		conversation := w.book(ctx, email, token, n)
		w.places = append(w.places,
			&place{id: conversation, patient: patient, desks: map[string]*desk{patient: {}, w.doctor: {}}})
		for k := range devices {
			w.addDevice(fmt.Sprintf("patient-%d-%d", n, k), email, patient, n)
			w.devices[len(w.devices)-1].steady = k > 0
			w.addDevice(fmt.Sprintf("doctor-%d-%d", n, k), "doctor@soak.test", w.doctor, n)
		}
		w.rec.Add(Entry{What: Member, Conversation: conversation, User: patient, Role: "patient"})
		w.rec.Add(Entry{What: Member, Conversation: conversation, User: w.doctor, Role: "doctor"})
	}
	user := w.register(ctx, "stranger@soak.test")
	w.addDevice("stranger", "stranger@soak.test", user, 0)
	w.stranger, w.devices = w.devices[len(w.devices)-1], w.devices[:len(w.devices)-1]
	for _, p := range w.places {
		w.rec.Add(Entry{What: Stranger, Conversation: p.id, User: user})
	}
}

// config returns the configuration for an operator's command.
func (w *world) config() config.Config {
	cfg := config.Default()
	cfg.DatabaseURL, cfg.TokenSecrets = config.Secret(w.dsn), []config.Secret{config.Secret(rand.Text() + rand.Text())}
	return cfg
}

func (w *world) addDevice(name, email, user string, conversation int) {
	n := uint64(len(w.devices) + 1)
	w.devices = append(w.devices, &device{
		w: w, rnd: mrand.New(mrand.NewPCG(w.seed, 1<<16+n)), name: name, email: email, user: user,
		place:   w.places[conversation],
		changed: make(chan struct{}), after: -1,
	})
}

func (w *world) register(ctx context.Context, email string) string {
	w.t.Helper()
	var made struct {
		UserID string `json:"userId"`
	}
	require.NoError(
		w.t,
		rest(ctx, w.instances[0].addr, "", http.MethodPost, "/auth/register",
			object{"name": "Ada Jones", "email": email, "password": password}, &made),
	)
	return made.UserID
}

// signIn signs in while nothing is broken.
func (w *world) signIn(ctx context.Context, email string) (user, token string) {
	w.t.Helper()
	var in signedIn
	require.NoError(w.t,
		rest(ctx, w.instances[0].addr, "", http.MethodPost, "/auth/login", object{"login": email, "password": password}, &in))
	return in.User.UserID, in.AccessToken
}

type signedIn struct {
	AccessToken string `json:"accessToken"`
	User        struct {
		UserID string `json:"userId"`
	} `json:"user"`
}

// book makes a confirmed appointment of a patient with the doctor; token is the doctor's.
func (w *world) book(ctx context.Context, email, token string, n int) string {
	w.t.Helper()
	_, patient := w.signIn(ctx, email)
	var asked struct {
		ID string `json:"id"`
	}
	addr := w.instances[0].addr
	reason := fmt.Sprintf("A cough (%d)", n) // two requests without a time that say the same are one
	require.NoError(w.t,
		rest(ctx, addr, patient, http.MethodPost, "/appointments", object{"doctorId": w.doctor, "reason": reason}, &asked))
	start := time.Now().Truncate(time.Hour).Add(time.Duration(24+n) * time.Hour)
	require.NoError(w.t,
		rest(ctx, addr, token, http.MethodPost, "/appointments/"+asked.ID+"/confirm", object{"startsAt": start}, nil))
	return asked.ID
}

// conclude adds the content of PostgreSQL at the end to the history. It also checks the audit trail.
func (w *world) conclude(ctx context.Context) {
	w.t.Helper()
	db, err := pgx.Connect(ctx, w.dsn)
	require.NoError(w.t, err)
	defer db.Close(ctx)
	audit, err := app.VerifyAudit(ctx, w.config())
	require.NoError(w.t, err)
	require.Zero(w.t, audit.Broken, "the chain of the audit trail")
	require.Positive(w.t, audit.Sealed+audit.Unsealed)
	for _, p := range w.places {
		rows, err := db.Query(
			ctx,
			`select m.seq, m.kind, coalesce(m.client_id::text, ''), coalesce(u.public_id, ''), coalesce(m.body, ''),
			case when m.kind = 'system' then 0 else coalesce(m.target, 0) end, m.at
			from messages m join appointments a on a.id = m.room_id left join users u on u.id = m.sender_id
			where a.public_id = $1 order by m.seq`,
			p.id,
		)
		require.NoError(w.t, err)
		var e wireEvent
		_, err = pgx.ForEachRow(
			rows, []any{&e.Seq, &e.Kind, &e.ClientID, &e.Sender, &e.Text, &e.Target, &e.At},
			func() error {
				w.rec.Add(Entry{What: Log, Conversation: p.id, Event: e.event(w.rec)})
				return nil
			},
		)
		require.NoError(w.t, err)
		w.rec.Add(Entry{What: Head, Conversation: p.id, Head: w.head(ctx, db, p)})
		for user, c := range w.cursorsOf(ctx, db, p) {
			w.rec.Add(Entry{What: Cursors, Conversation: p.id, Subject: user, Delivered: c.delivered, Read: c.read})
		}
	}
}

func (w *world) head(ctx context.Context, db *pgx.Conn, p *place) (head int64) {
	w.t.Helper()
	require.NoError(
		w.t,
		db.QueryRow(ctx, `select c.head_seq from conversations c join appointments a on a.id = c.id where a.public_id = $1`, p.id).
			Scan(&head),
	)
	return head
}

func (w *world) cursorsOf(ctx context.Context, db *pgx.Conn, p *place) map[string]cursors {
	w.t.Helper()
	rows, err := db.Query(
		ctx,
		`select u.public_id, r.delivered_seq, r.read_seq from receipts r join appointments a on a.id = r.room_id
		join users u on u.id = r.user_id where a.public_id = $1`,
		p.id,
	)
	require.NoError(w.t, err)
	out := map[string]cursors{}
	var user string
	var c cursors
	_, err = pgx.ForEachRow(rows, []any{&user, &c.delivered, &c.read}, func() error {
		out[user] = c
		return nil
	})
	require.NoError(w.t, err)
	return out
}
