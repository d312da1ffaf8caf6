package attachment_test

import (
	"bytes"
	"fmt"
	"image"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"housecall/internal/attachment"
	"housecall/internal/blob"
	"housecall/internal/testing/pgtest"
)

func TestUpload_Kinds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.opts.PerDay = 100
	for name, c := range map[string]struct{ given, content, want, kind string }{
		"png":  {`C:\\My Pictures\\knee.exe`, asPNG(drawing(40, 20)), "knee.exe.png", "image/png"},
		"jpeg": {"../../etc/photo.JPEG", asJPEG(drawing(40, 20)), "photo.jpeg", "image/jpeg"},
		"gif":  {"a.gif", asGIF(drawing(40, 20)), "a.gif", "image/gif"},
		"pdf":  {"CON.pdf", "%PDF-1.7 and so on", "_CON.pdf", "application/pdf"},
		"late": {"letter", "\ufeff\r\n%PDF-1.4\r\n%\xe2\xe3\xcf\xd3\r\n", "letter.pdf", "application/pdf"},
		"text": {"page.html", "<script>alert(1)</script>", "page.html.txt", "text/plain; charset=utf-8"},
	} {
		t.Run(name, func(t *testing.T) {
			a := w.uploads(pat, c.given, c.content)
			require.Equal(t, 201, a.Status, a.String())
			golden(t, "upload_"+name, a)
			require.Equal(t, c.want, a.Body["name"])
			id := a.Body["id"].(string)
			require.Equal(t, "/api/v1"+files+"/"+id, a.Header.Get("Location"))
			got := w.get(pat, id)
			require.Equal(t, 200, got.Status)
			require.Equal(t, c.content, got.String())
			require.Equal(t, c.kind, got.Header.Get("Content-Type"))
			require.Equal(t, `"`+a.Body["sha256"].(string)+`"`, got.Header.Get("ETag"))
			require.Equal(t, attachment.Disposition("attachment", c.want), got.Header.Get("Content-Disposition"))
			require.Equal(t, "nosniff", got.Header.Get("X-Content-Type-Options"))
			require.Contains(t, got.Header.Get("Content-Security-Policy"), "sandbox")
			require.Equal(t, "private, no-store", got.Header.Get("Cache-Control"))
		})
	}
	require.EqualValues(t, 6,
		w.number(`select count(*) from audit_events where action = 'attachment.upload' and subject = $1`, visit))
}

func TestUpload_RawBody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.call("POST", files+"?name=note", pat, strings.NewReader("hello"), "Content-Type", "image/png")
	require.Equal(t, 201, a.Status, a.String())
	require.Equal(t, "note.txt", a.Body["name"])
	chunked := struct{ *strings.Reader }{strings.NewReader("hello")} // of unknown length
	a = w.call("POST", files+"?name=note", pat, chunked, "Content-Type", "text/plain")
	require.Equal(t, 201, a.Status, a.String())
	require.EqualValues(t, 5, a.Body["size"])
}

func TestUpload_Refusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file, kind := func(field, name, content string) (string, string) {
		b, kind := form(t, field, name, content)
		var raw bytes.Buffer
		_, err := raw.ReadFrom(b)
		require.NoError(t, err)
		return raw.String(), kind
	}("file", "a.txt", "hello")
	other, otherKind := form(t, "photo", "a.txt", "hello")
	nul := strings.Replace(file, `filename="a.txt"`, `filename*=UTF-8''a%00b.txt`, 1)
	boundary := strings.TrimPrefix(kind, "multipart/form-data; boundary=")
	twice := strings.TrimSuffix(file, "--\r\n") + strings.TrimPrefix(strings.Replace(file, "--"+boundary, "", 1), "--")
	for name, c := range map[string]struct {
		answer answer
		status int
		code   string
	}{
		"html binary":      {w.uploads(pat, "a.png", "\x00\x01\x02"), 415, "unsupported_type"},
		"not UTF-8":        {w.uploads(pat, "a.txt", "hell\xff"), 415, "unsupported_type"},
		"not UTF-8, later": {w.uploads(pat, "a.txt", strings.Repeat("x", 100_000)+"\xff"), 415, "unsupported_type"},
		"cut character":    {w.uploads(pat, "a.txt", "hell\xc3"), 415, "unsupported_type"},
		"program":          {w.uploads(pat, "a.pdf", "MZ\x90\x00"), 415, "unsupported_type"},
		"no picture":       {w.uploads(pat, "a.png", "\x89PNG\r\n\x1a\nno picture"), 415, "unsupported_type"},
		"empty":            {w.uploads(pat, "a.txt", ""), 422, "empty"},
		"large":            {w.uploads(pat, "a.txt", strings.Repeat("x", 10<<20+1)), 413, "too_large"},
		"huge":             {w.uploads(pat, "a.txt", strings.Repeat("x", 12<<20)), 413, "too_large"},
		"no file":          {w.call("POST", files, pat, other, "Content-Type", otherKind), 400, "bad_form"},
		"two files":        {w.call("POST", files, pat, strings.NewReader(twice), "Content-Type", kind), 400, "bad_form"},
		"no boundary": {
			w.call("POST", files, pat, strings.NewReader(file), "Content-Type", "multipart/form-data"), 400, "bad_form",
		},
		"no end": {
			w.call("POST", files, pat, strings.NewReader(file[:len(file)-8]), "Content-Type", kind), 400, "bad_form",
		},
		"no form": {
			w.call("POST", files, pat, strings.NewReader(strings.Repeat("x", 200_000)), "Content-Type", kind), 400, "bad_form",
		},
		"U+0000":  {w.call("POST", files, pat, strings.NewReader(nul), "Content-Type", kind), 422, "invalid"},
		"nothing": {w.call("POST", files, pat, http.NoBody), 422, "empty"},
		"packed": {
			w.call("POST", files, pat, strings.NewReader("x"), "Content-Encoding", "gzip"), 415, "unsupported_media_type",
		},
		"nobody":   {w.call("POST", files, "", strings.NewReader("x")), 401, "unauthenticated"},
		"stranger": {w.call("POST", files, stranger, strings.NewReader("x")), 404, "not_found"},
		"admin":    {w.call("POST", files, admin, strings.NewReader("x")), 404, "not_found"},
	} {
		require.Equal(t, c.status, c.answer.Status, "%s: %s", name, c.answer.String())
		require.Equal(t, c.code, c.answer.Code(), name)
	}
	require.Contains(t, w.uploads(pat, "a.txt", strings.Repeat("x", 100_000)+"\xe9").Body["detail"], "UTF-8 as its encoding")
	w.exec(`update appointments set status = 'CANCELLED'`)
	closed := w.uploads(pat, "a.txt", "hello")
	require.Equal(t, 409, closed.Status)
	require.Equal(t, "closed", closed.Code())
	require.Zero(t, w.number(`select count(*) from attachments`), "nothing is left")
	require.Empty(t, w.left())
	largest := newWorld(t).uploads(pat, "a.txt", strings.Repeat("x", 10<<20))
	require.Equal(t, 201, largest.Status)
}

// A picture that claims to be enormous is refused because of its header.
func TestUpload_Bomb(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bomb := []byte(asPNG(image.NewGray(image.Rect(0, 0, 4, 4))))
	copy(bomb[16:], []byte{0, 1, 0, 0, 0, 1, 0, 0}) // 65,536 pixels square
	copy(bomb[29:], []byte{0xee, 0xa1, 0x82, 0xfd}) // a wrong checksum, but the size is checked first
	a := w.uploads(pat, "a.png", string(bomb))
	require.Contains(t, []int{413, 415}, a.Status, a.String())
	require.Empty(t, w.left())
	// Within the limit, too large for a thumbnail, and 8 KB.
	huge := blankPNG(8000)
	size, _, err := image.DecodeConfig(strings.NewReader(huge))
	require.NoError(t, err)
	require.Equal(t, 8000, size.Height)
	a = w.uploads(pat, "a.png", huge)
	require.Equal(t, 201, a.Status, a.String())
	require.EqualValues(t, 8000, a.Body["width"])
	require.Nil(t, a.Body["thumbnail"])
}

func TestThumbnail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, c := range map[string]struct {
		content       string
		width, height int
	}{
		"wide":  {asPNG(drawing(3000, 100)), 320, 10},
		"tall":  {asJPEG(drawing(100, 640)), 50, 320},
		"small": {asGIF(drawing(20, 10)), 20, 10},
	} {
		id := w.uploaded(pat, name, c.content)
		a := w.call("GET", files+"/"+id+"/thumbnail", pat, http.NoBody)
		require.Equal(t, 200, a.Status, a.String())
		require.Equal(t, "image/jpeg", a.Header.Get("Content-Type"))
		require.Contains(t, a.Header.Get("Content-Disposition"), `inline; filename="`+name+`.jpg"`)
		require.Contains(t, a.Header.Get("Content-Security-Policy"), "sandbox")
		p, kind, err := image.Decode(strings.NewReader(a.String()))
		require.NoError(t, err)
		require.Equal(t, "jpeg", kind)
		require.Equal(t, image.Pt(c.width, c.height), p.Bounds().Size(), name)
		r, _, b, _ := p.At(1, 1).RGBA()
		require.Greater(t, r, b, "red")
		r, _, b, _ = p.At(c.width-2, c.height-2).RGBA()
		require.Less(t, r, b, "blue")
		require.Equal(t, 206, w.call("GET", files+"/"+id+"/thumbnail", pat, http.NoBody, "Range", "bytes=0-9").Status)
	}
	id := w.uploaded(pat, "a.txt", "hello")
	require.Equal(t, 404, w.call("GET", files+"/"+id+"/thumbnail", pat, http.NoBody).Status)
}

// Who can see a file, before and after it is sent, and after its retraction.
func TestFind_Rights(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.uploaded(pat, "a.png", asPNG(drawing(4, 4)))
	sees := func(when string, want map[string]int) {
		t.Helper()
		for who, status := range want {
			require.Equal(t, status, w.get(who, id).Status, "%s: %s", when, who)
			require.Equal(t, status, w.call("HEAD", files+"/"+id, who, http.NoBody).Status, "%s: %s", when, who)
			require.Equal(t, status, w.call("GET", files+"/"+id+"/thumbnail", who, http.NoBody).Status, "%s: %s", when, who)
		}
	}
	sees("uploaded", map[string]int{pat: 200, doc: 404, stranger: 404, admin: 404, "": 401})
	seq := w.send(id)
	sees("sent", map[string]int{pat: 200, doc: 200, stranger: 404, admin: 200, "": 401})
	require.Equal(t, 404, w.get(pat, uuid.NewString()).Status)
	require.Equal(t, 422, w.get(pat, "nonsense").Status)
	require.Equal(t, 404, w.call("GET", "/appointments/APP0000000009/attachments/"+id, pat, http.NoBody).Status)
	looks := w.number(`select count(*) from audit_events where action = 'attachment.read' and subject = $1`, visit)
	require.EqualValues(t, 3, looks, "each look through the glass, and no other")
	w.retract(seq)
	sees("retracted", map[string]int{pat: 404, doc: 404, stranger: 404, admin: 200})
}

func TestContent_Resumed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	content := strings.Repeat("All work and no play. ", 50_000)
	id := w.uploaded(pat, "a.txt", content)
	first := w.get(pat, id, "Range", "bytes=0-99999")
	require.Equal(t, 206, first.Status)
	rest := w.get(pat, id, "Range", "bytes=100000-", "If-Range", first.Header.Get("ETag"))
	require.Equal(t, 206, rest.Status)
	require.Equal(t, content, first.String()+rest.String())
	require.Equal(t, 416, w.get(pat, id, "Range", fmt.Sprintf("bytes=%d-", len(content))).Status)
	require.Equal(t, 304, w.get(pat, id, "If-None-Match", first.Header.Get("ETag")).Status)
}

func TestList(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.Empty(t, w.call("GET", files, pat, http.NoBody).Body["items"])
	for i := range 5 {
		w.send(w.uploaded(pat, fmt.Sprintf("%d.txt", i), "hello"))
	}
	w.uploaded(doc, "draft.txt", "not sent")
	w.retract(2)
	page := w.call("GET", files+"?limit=2", doc, http.NoBody)
	require.Equal(t, 200, page.Status, page.String())
	golden(t, "list", page)
	names := func(a answer) (names []string) {
		for _, item := range a.Body["items"].([]any) {
			names = append(names, item.(map[string]any)["name"].(string))
		}
		return names
	}
	require.Equal(t, []string{"4.txt", "3.txt"}, names(page))
	page = w.call("GET", files+"?limit=2&cursor="+page.Body["nextCursor"].(string), doc, http.NoBody)
	require.Equal(t, []string{"2.txt"}, names(page), "what was retracted is not shown")
	page = w.call("GET", files+"?limit=2&cursor="+page.Body["nextCursor"].(string), doc, http.NoBody)
	require.Equal(t, []string{"0.txt"}, names(page))
	require.Nil(t, page.Body["nextCursor"])
	all := w.call("GET", files, admin, http.NoBody)
	require.Len(t, all.Body["items"], 5)
	require.Equal(t, true, all.Body["items"].([]any)[3].(map[string]any)["retracted"])
	require.EqualValues(t, 1, w.number(`select count(*) from audit_events where action = 'attachment.read'`))
	require.Equal(t, 404, w.call("GET", files, stranger, http.NoBody).Status)
}

// The same with an S3 store, which instances share.
func TestUpload_S3(t *testing.T) {
	t.Parallel()
	server := pgtest.S3(t)
	w := newWorld(t, func(w *world) {
		s3, err := blob.NewS3(blob.S3Options{
			Host: server.Addr(), Bucket: server.Bucket, Region: "us-east-1", AccessKey: server.AccessKey,
			SecretKey: server.SecretKey, PathStyle: true,
		})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s3.Close()) })
		w.store = s3
	})
	content := asPNG(drawing(1000, 1000)) + noise(7<<20) // decoders stop at the end of the picture
	id := w.uploaded(pat, "a.png", content)
	require.Equal(t, content, w.get(pat, id).String())
	require.Equal(t, content[5<<20:], w.get(pat, id, "Range", fmt.Sprintf("bytes=%d-", 5<<20)).String())
	require.Equal(t, 200, w.call("GET", files+"/"+id+"/thumbnail", pat, http.NoBody).Status)
	require.Equal(t, 413, w.uploads(pat, "b.txt", strings.Repeat("x", 10<<20+1)).Status)
	keys, err := server.Objects()
	require.NoError(t, err)
	require.ElementsMatch(t, []string{id, id + ".thumbnail"}, keys)
	w.exec(`update attachments set created_at = now() - interval '25 hours'`)
	swept, err := w.instance().Sweep(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, swept)
	keys, err = server.Objects()
	require.NoError(t, err)
	require.Empty(t, keys)

	other := w.uploaded(pat, "b.txt", "hello")
	require.NoError(t, server.Kill())
	away := w.get(pat, other)
	require.Equal(t, 503, away.Status)
	require.NotEmpty(t, away.Header.Get("Retry-After"))
	require.NotContains(t, away.String(), "127.0.0.1")
	require.Equal(t, 503, w.uploads(pat, "c.txt", "hello").Status)
	require.NoError(t, server.Restart(t.Context()))
	require.Equal(t, "hello", w.get(pat, other).String())
}

// Of a store that will not work until somebody mends its configuration, people are told something else than of one that is
// away for a moment.
func TestUpload_StoreRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) {
		file := filepath.Join(t.TempDir(), "file")
		require.NoError(t, os.WriteFile(file, nil, 0o600))
		w.store = blob.NewFolder(file)
	})
	a := w.uploads(pat, "a.txt", "hello")
	require.Equal(t, []any{503, "store_refused"}, []any{a.Status, a.Body["code"]})
	require.Contains(t, a.Body["detail"], "tell the clinic")
}
