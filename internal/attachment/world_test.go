package attachment_test

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/attachment"
	"housecall/internal/auth"
	"housecall/internal/blob"
	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/httpd/ratelimit"
	"housecall/internal/postgres"
	"housecall/internal/testing/apitest"
	"housecall/internal/testing/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const (
	pat      = "PAT0000000001"
	doc      = "DOC0000000001"
	stranger = "DOC0000000002"
	admin    = "ADM0000000001"
	visit    = "APP0000000001"
)

// answer is an answer of the API.
type answer = apitest.Answer

// world has the service with its routes, on its own database with one conversation. A user's token is their public id.
type world struct {
	t     *testing.T
	opts  attachment.Options
	pool  *postgres.Pool
	store blob.Store
	dir   string // the folder of the store, if it is one
	svc   *attachment.Service
	api   *apitest.API
	room  int64
}

func newWorld(t *testing.T, change ...func(*world)) *world {
	t.Helper()
	w := &world{
		t: t, pool: pgtest.New(t), dir: t.TempDir(),
		opts: attachment.Options{MaxBytes: 10 << 20, PerDay: 20, PerMinute: 1000, AtOnce: 16, UploadTimeout: time.Minute},
	}
	w.store = blob.NewFolder(w.dir)
	for _, f := range change {
		f(w)
	}
	ids := map[string]int64{}
	for id, role := range map[string]auth.Role{
		pat: auth.Patient, doc: auth.Doctor, stranger: auth.Doctor, admin: auth.Admin,
	} {
		ids[id] = w.number(
			`insert into users (public_id, email, name, role) values ($1::text, lower($1::text) || '@x.test', 'Somebody', $2) returning id`,
			id, role,
		)
	}
	w.exec(`insert into patients (user_id) values ($1)`, ids[pat])
	w.exec(`insert into doctors (user_id) values ($1)`, ids[doc])
	w.room = w.number(`insert into appointments (public_id, patient_id, doctor_id, status, starts_at, ends_at)
		values ($1, $2, $3, 'BOOKED', now(), now() + interval '30 minutes') returning id`, visit, ids[pat], ids[doc])
	w.exec(`insert into conversations (id) values ($1)`, w.room)
	w.svc = w.instance()
	w.api = apitest.Serve(t, apitest.Options{
		Routes:        func(s *httpd.Server) { attachment.Routes(s, w.svc) },
		Authenticator: apitest.ByPublicID(w.pool),
	})
	return w
}

// instance makes another instance on the same database and store.
func (w *world) instance() *attachment.Service {
	return attachment.New(attachment.Deps{
		Pool: w.pool, Store: w.store, Conversations: talks{w}, Limiter: ratelimit.New(nil, zerolog.Nop()),
		Options: w.opts,
	})
}

func (w *world) actor(ctx context.Context, id string) (a auth.Actor, err error) {
	err = w.pool.QueryRow(ctx, `select id, public_id, name, role from users where public_id = $1`,
		id).Scan(&a.ID, &a.UserID, &a.Name, &a.Role)
	return a, err
}

func (w *world) as(id string) auth.Actor {
	w.t.Helper()
	a, err := w.actor(w.t.Context(), id)
	require.NoError(w.t, err)
	return a
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	_, err := w.pool.Exec(w.t.Context(), sql, args...)
	require.NoError(w.t, err)
}

func (w *world) number(sql string, args ...any) (n int64) {
	w.t.Helper()
	require.NoError(w.t, w.pool.QueryRow(w.t.Context(), sql, args...).Scan(&n))
	return n
}

// send sends a file with the next message, as the committer does.
func (w *world) send(id string) (seq int64) {
	w.t.Helper()
	seq = w.number(`update conversations set head_seq = head_seq + 1 where id = $1 returning head_seq`, w.room)
	w.exec(`insert into messages (room_id, seq, at, kind, sender_id, client_id)
		select $1, $2, now(), 'attachment', uploader_id, gen_random_uuid() from attachments where id = $3`, w.room, seq, uuid.MustParse(id))
	w.exec(`update attachments set seq = $2 where id = $1`, uuid.MustParse(id), seq)
	return seq
}

// retract retracts a message.
func (w *world) retract(target int64) {
	w.t.Helper()
	seq := w.number(`update conversations set head_seq = head_seq + 1 where id = $1 returning head_seq`, w.room)
	w.exec(`insert into messages (room_id, seq, at, kind, sender_id, client_id, target)
		select room_id, $3, now(), 'retraction', sender_id, gen_random_uuid(), seq from messages where room_id = $1 and seq = $2`, w.room, target, seq)
}

// talks answers from the tables what package conversation answers in the program; tests of app cover that. An
// administrator has break-glass access.
type talks struct{ w *world }

func (c talks) Readable(ctx context.Context, actor auth.Actor, appointmentID string) (attachment.Conversation, error) {
	out := attachment.Conversation{AppointmentID: appointmentID, Glass: actor.Role == auth.Admin}
	err := c.w.pool.QueryRow(ctx, `select id, patient_id from appointments where public_id = $1 and ($2 in (patient_id, doctor_id) or $3)`,
		appointmentID, actor.ID, out.Glass).
		Scan(&out.ID, &out.PatientID)
	if err != nil {
		return out, errs.Missing("appointment")
	}
	return out, nil
}

func (c talks) Writable(ctx context.Context, actor auth.Actor, appointmentID string) (attachment.Conversation, error) {
	out, err := c.Readable(ctx, actor, appointmentID)
	if err == nil && out.Glass {
		err = errs.Missing("appointment")
	}
	if err != nil {
		return out, err
	}
	var open bool
	err = c.w.pool.QueryRow(ctx, `select status = 'BOOKED' from appointments where public_id = $1`,
		appointmentID).Scan(&open)
	if err == nil && !open {
		err = errs.New(errs.Conflict, "closed", "This conversation is closed to new messages.")
	}
	return out, err
}

func (c talks) Retracted(ctx context.Context, conversation int64, seqs []int64) (map[int64]bool, error) {
	out := map[int64]bool{}
	targets, err := postgres.Column[int64](ctx, c.w.pool, "retractions",
		`select target from messages where room_id = $1 and kind = 'retraction' and target = any($2)`, conversation, seqs)
	for _, seq := range targets {
		out[seq] = true
	}
	return out, err
}

// call sends a request; headers are pairs.
func (w *world) call(method, path, token string, body io.Reader, headers ...string) answer {
	w.t.Helper()
	return w.api.Ask(method, path, token, body, headers...)
}

const files = "/appointments/" + visit + "/attachments"

// uploads sends a file in a form.
func (w *world) uploads(token, name, content string) answer {
	w.t.Helper()
	body, kind := form(w.t, "file", name, content)
	return w.call("POST", files, token, body, "Content-Type", kind)
}

// uploaded uploads a file, requires success, and returns the id.
func (w *world) uploaded(token, name, content string) string {
	w.t.Helper()
	a := w.uploads(token, name, content)
	require.Equal(w.t, http.StatusCreated, a.Status, a.String())
	return a.Body["id"].(string)
}

func (w *world) get(token, id string, headers ...string) answer {
	w.t.Helper()
	return w.call("GET", files+"/"+id, token, http.NoBody, headers...)
}

func form(t *testing.T, field, name, content string) (io.Reader, string) {
	t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	h := textproto.MIMEHeader{}
	h.Set("Content-Disposition", `form-data; name="`+field+`"; filename="`+name+`"`)
	h.Set("Content-Type", "application/x-whatever")
	part, err := m.CreatePart(h)
	require.NoError(t, err)
	_, err = io.WriteString(part, content)
	require.NoError(t, err)
	require.NoError(t, m.Close())
	return &b, m.FormDataContentType()
}

// left lists everything in the folder.
func (w *world) left() (names []string) {
	w.t.Helper()
	require.NoError(w.t, filepath.WalkDir(w.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, filepath.Base(path))
		}
		return err
	}))
	return names
}

// drawing makes a picture whose top left quarter is red, and the rest blue.
func drawing(width, height int) *image.NRGBA {
	p := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			c := color.NRGBA{B: 255, A: 255}
			if x < width/2 && y < height/2 {
				c = color.NRGBA{R: 255, A: 255}
			}
			p.SetNRGBA(x, y, c)
		}
	}
	return p
}

func asPNG(p image.Image) string {
	var b bytes.Buffer
	_ = png.Encode(&b, p)
	return b.String()
}

// blankPNG is a square with nothing on it, one bit for each pixel (ISO/IEC 15948, 7.2): drawing millions takes long.
func blankPNG(side int) string {
	var out, data bytes.Buffer
	z := zlib.NewWriter(&data)
	_, _ = z.Write(make([]byte, side*(1+(side+7)/8))) // each line begins with its filter
	_ = z.Close()
	chunk := func(kind string, content []byte) {
		body := append([]byte(kind), content...)
		out.Write(binary.BigEndian.AppendUint32(nil, uint32(len(content))))
		out.Write(binary.BigEndian.AppendUint32(body, crc32.ChecksumIEEE(body)))
	}
	size := binary.BigEndian.AppendUint32(nil, uint32(side))
	out.WriteString("\x89PNG\r\n\x1a\n")
	chunk("IHDR", append(append(size, size...), 1, 0, 0, 0, 0))
	chunk("IDAT", data.Bytes())
	chunk("IEND", nil)
	return out.String()
}

func asJPEG(p image.Image) string {
	var b bytes.Buffer
	_ = jpeg.Encode(&b, p, nil)
	return b.String()
}

func asGIF(p image.Image) string {
	var b bytes.Buffer
	_ = gif.Encode(&b, p, nil)
	return b.String()
}

// noise returns bytes that do not compress.
func noise(n int) string {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

// golden compares an answer with testdata/NAME.json, without what differs each time.
func golden(t *testing.T, name string, a answer) {
	t.Helper()
	apitest.Golden(t, name, a, apitest.MaskMember("id|requestId|uploadedAt|nextCursor"))
}
