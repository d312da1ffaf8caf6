package attachment_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"housecall/internal/attachment"
	"housecall/internal/blob"
	"housecall/internal/errs"
	"housecall/internal/postgres"
)

// from makes an argument of Upload from a reader.
func from(r io.Reader) func() (attachment.File, error) {
	return func() (attachment.File, error) { return attachment.File{Name: "a.txt", Body: r}, nil }
}

// Of many concurrent uploads, over two instances, no more succeed than the quota allows.
func TestService_Upload_quota(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) { w.opts.AtOnce = 1000 })
	instances := []*attachment.Service{w.svc, w.instance()}
	people := []string{pat, doc}
	var passed, refused, busy int
	var mu sync.Mutex // guards the counts
	var all sync.WaitGroup
	for i := range 48 {
		actor := w.as(people[i%2])
		all.Go(func() {
			for {
				_, err := instances[i/2%2].Upload(context.Background(), actor, visit, from(strings.NewReader("hello")))
				mu.Lock()
				switch {
				case err == nil:
					passed++
				case errors.Is(err, attachment.ErrBusy) && errs.CodeOf(err) == "rate_limited":
					busy++
					mu.Unlock()
					continue
				case errs.CodeOf(err) == "quota":
					refused++
				default:
					t.Error(err)
				}
				mu.Unlock()
				return
			}
		})
	}
	all.Wait()
	require.Equal(t, 20, passed)
	require.Equal(t, 28, refused)
	require.EqualValues(t, 20, w.number(`select count(*) from attachments where stored_at is not null`))
	require.Len(t, w.left(), 20)

	over := w.uploads(pat, "a.txt", "hello")
	require.Equal(t, 429, over.Status)
	require.Equal(t, "quota", over.Code())
	require.Contains(t, over.Body["detail"], "20 new files in 24 hours")
	require.Regexp(t, `^8\d{4}$`, over.Header.Get("Retry-After"), "until the first is a day old")
	w.exec(
		`update attachments set created_at = now() - interval '24 hours' where id = (select id from attachments limit 1)`,
	)
	require.Equal(t, 201, w.uploads(pat, "a.txt", "hello").Status, "the window rolls")
	require.Equal(t, 429, w.uploads(doc, "a.txt", "hello").Status, "for both together")
}

func TestService_Upload_throttled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) { w.opts.PerMinute = 2 })
	for _, want := range []int{201, 201, 429} {
		a := w.uploads(pat, "a.txt", "hello")
		require.Equal(t, want, a.Status)
		if want == 429 {
			require.Equal(t, "rate_limited", a.Code())
			require.NotEmpty(t, a.Header.Get("Retry-After"))
		}
	}
	require.Equal(t, 201, w.uploads(doc, "a.txt", "hello").Status, "each user separately")
}

// gate is a body that arrives when the test opens it.
type gate struct {
	reached, open chan struct{}
	once          sync.Once
}

func (g *gate) Read([]byte) (int, error) {
	g.once.Do(func() { close(g.reached) })
	<-g.open
	return 0, io.EOF
}

// The uploads under way are limited for each user and for the instance; each frees its place when it ends.
func TestService_Upload_places(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) { w.opts.AtOnce = 5 })
	open := make(chan struct{})
	var all sync.WaitGroup
	begin := func(who string) {
		g := &gate{reached: make(chan struct{}), open: open}
		actor := w.as(who)
		all.Go(func() {
			_, err := w.svc.Upload(context.Background(), actor, visit, from(io.MultiReader(strings.NewReader("hello"), g)))
			require.NoError(t, err)
		})
		<-g.reached
	}
	for range 4 {
		begin(pat)
	}
	_, err := w.svc.Upload(t.Context(), w.as(pat), visit, from(strings.NewReader("x")))
	require.ErrorIs(t, err, attachment.ErrBusy, "of one user")
	begin(doc)
	_, err = w.svc.Upload(t.Context(), w.as(doc), visit, from(strings.NewReader("x")))
	require.ErrorIs(t, err, attachment.ErrBusy, "of the instance")
	close(open)
	all.Wait()
	_, err = w.svc.Upload(t.Context(), w.as(pat), visit, from(strings.NewReader("x")))
	require.NoError(t, err)
}

// An interrupted upload fails and leaves nothing behind.
func TestService_Upload_cut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, after := range []int{0, 10, 1000, 3 << 20} {
		_, err := w.svc.Upload(t.Context(), w.as(pat), visit,
			from(io.MultiReader(strings.NewReader(strings.Repeat("x", after)), iotest.ErrReader(net.ErrClosed))))
		require.ErrorIs(t, err, attachment.ErrIncomplete, after)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := w.svc.Upload(ctx, w.as(pat), visit,
		from(io.MultiReader(strings.NewReader(strings.Repeat("x", 1<<20)), ends(cancel), strings.NewReader("x"))))
	require.Error(t, err)
	require.Panics(t, func() {
		_, _ = w.svc.Upload(t.Context(), w.as(pat), visit,
			from(io.MultiReader(strings.NewReader(strings.Repeat("x", 1<<20)), panics{})))
	})
	require.Empty(t, w.left())
	require.Zero(t, w.number(`select count(*) from attachments`))
	require.Equal(t, 201, w.uploads(pat, "a.txt", "hello").Status, "and no place is taken")
}

type ends context.CancelFunc

func (e ends) Read([]byte) (int, error) { e(); return 0, io.EOF }

type panics struct{}

func (panics) Read([]byte) (int, error) { panic("a bug") }

// The same over HTTP, if the connection breaks.
func TestUpload_ConnectionBreaks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body, kind := form(t, "file", "a.txt", strings.Repeat("x", 3<<20))
	whole, err := io.ReadAll(body)
	require.NoError(t, err)
	for _, way := range []string{"a form", "the file itself", "in chunks"} {
		c, err := net.Dial("tcp", strings.TrimPrefix(w.api.Root, "http://"))
		require.NoError(t, err)
		kind, length, sent := kind, fmt.Sprintf("Content-Length: %d\r\n\r\n", len(whole)), string(whole[:2<<20])
		if way != "a form" {
			kind = "text/plain"
		}
		if way == "in chunks" { // it breaks off between two of them
			length, sent = "Transfer-Encoding: chunked\r\n\r\n", fmt.Sprintf("%x\r\n%s\r\n", len(sent), sent)
		}
		_, err = fmt.Fprintf(c,
			"POST /api/v1%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\n%s%s",
			files, pat, kind, length, sent)
		require.NoError(t, err)
		require.NoError(t, c.(*net.TCPConn).CloseWrite())
		answer, err := io.ReadAll(c) // once there is an answer, everything is undone
		require.NoError(t, err)
		require.Contains(t, string(answer), `"code":"incomplete"`)
		require.NoError(t, c.Close())
	}
	require.Empty(t, w.left())
	require.Zero(t, w.number(`select count(*) from attachments`))
}

func (w *world) age(id, by string) {
	w.t.Helper()
	w.exec(`update attachments set created_at = now() - $2::interval where id = $1`, uuid.MustParse(id), by)
}

func TestService_Sweep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	picture := asPNG(drawing(10, 10))
	sent, orphan, fresh, half, young := w.uploaded(pat, "a",
		picture), w.uploaded(pat, "b", picture), w.uploaded(pat, "c", picture),
		w.uploaded(pat, "d", picture), w.uploaded(pat, "e", picture)
	w.send(sent)
	w.age(sent, "30 days")
	w.age(orphan, "24 hours 1 second")
	w.age(fresh, "23 hours 59 minutes")
	w.exec(`update attachments set stored_at = null where id = any($1)`,
		[]uuid.UUID{uuid.MustParse(half), uuid.MustParse(young)})
	w.age(half, "61 minutes")
	w.age(young, "59 minutes")
	swept, err := w.svc.Sweep(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 2, swept)
	require.EqualValues(t, 3, w.number(`select count(*) from attachments where id = any($1)`,
		[]uuid.UUID{uuid.MustParse(sent), uuid.MustParse(fresh), uuid.MustParse(young)}))
	require.EqualValues(t, 3, w.number(`select count(*) from attachments`))
	require.Len(t, w.left(), 6)
	require.Equal(t, 200, w.get(doc, sent).Status)
	require.Equal(t, 200, w.get(pat, fresh).Status)
	require.Equal(t, 404, w.get(pat, orphan).Status)
}

// If a sweep dies, or its store is away, nobody sees what it leaves, and the next sweep finishes the work.
func TestService_Sweep_interrupted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.uploaded(pat, "a.png", asPNG(drawing(10, 10)))
	w.age(id, "25 hours")
	folder := w.store
	w.store = failing{folder}
	_, err := w.instance().Sweep(t.Context())
	require.ErrorIs(t, err, errAway)
	require.Equal(t, 404, w.get(pat, id).Status)
	require.EqualValues(t, 1, w.number(`select count(*) from attachments`), "it is not forgotten")
	swept, err := w.svc.Sweep(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, swept)
	require.Empty(t, w.left())
	require.Zero(t, w.number(`select count(*) from attachments`))
}

var errAway = errors.New("the store is away")

// failing is a store that cannot delete.
type failing struct{ blob.Store }

func (failing) Delete(context.Context, string) error { return errAway }

// With many concurrent sweeps and sends, each file is either sent and exists, or is gone.
func TestService_Sweep_contention(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var ids []string
	for range 20 {
		ids = append(ids, w.uploaded(pat, "a.txt", "hello"))
	}
	w.exec(`update attachments set created_at = now() - interval '25 hours'`)
	var all sync.WaitGroup
	var mu sync.Mutex // guards bound
	bound := map[string]bool{}
	for range 3 {
		all.Go(func() {
			_, err := w.instance().Sweep(context.Background())
			require.NoError(t, err)
		})
	}
	for i, id := range ids {
		all.Go(func() { // as the committer does: under the row's lock
			err := w.pool.InTx(context.Background(), func(tx *postgres.Tx) error {
				n, err := postgres.Exec(context.Background(), tx, "bind", `update attachments set seq = $2
					where id = $1 and seq is null and stored_at is not null`, uuid.MustParse(id), i+1)
				mu.Lock()
				defer mu.Unlock()
				bound[id] = n == 1
				return err
			})
			require.NoError(t, err)
		})
	}
	all.Wait()
	for _, id := range ids {
		status := w.get(pat, id).Status
		require.Equal(t, bound[id], status == http.StatusOK, "sent: %v, status %d", bound[id], status)
		_, err := os.Stat(filepath.Join(w.dir, id[:2], id[2:4], id))
		require.Equal(t, bound[id], err == nil)
	}
}

func TestService_Upload_sameBytes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	content := []byte(strings.Repeat("é", 100_001)) // some characters are split between pieces
	a, err := w.svc.Upload(t.Context(), w.as(pat), visit, from(iotest.OneByteReader(bytes.NewReader(content))))
	require.NoError(t, err)
	r, err := w.svc.Content(t.Context(), a, 0, -1)
	require.NoError(t, err)
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.Equal(t, content, got)
	require.EqualValues(t, len(content), a.SizeBytes)
}
