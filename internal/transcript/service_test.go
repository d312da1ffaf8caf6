package transcript

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/conversation"
)

// document is a transcript as JSON.
type document struct {
	Appointment  map[string]any
	Participants []map[string]any
	TimeZone     string
	GeneratedAt  time.Time
	HeadSeq      int64
	Events       []map[string]any
	SHA256       string
}

// document downloads a whole transcript.
func (w *world) document(by auth.Actor, id int64, query string) (doc document) {
	w.T.Helper()
	a := w.get(by, w.path(id)+"?"+query)
	require.Equal(w.T, http.StatusOK, a.Status, "%s", a.Raw)
	require.NoError(w.T, json.Unmarshal(a.Raw, &doc))
	require.Len(w.T, doc.SHA256, 64)
	require.Len(w.T, doc.Events, int(doc.HeadSeq))
	return doc
}

// edited makes a conversation of three messages: the first stays, the second is retracted, the third corrected.
func (w *world) edited() (id int64, before document) {
	w.T.Helper()
	id = w.Conversation()
	require.EqualValues(w.T, 1, w.say(id, w.Patient, "Kept"))
	require.EqualValues(w.T, 2, w.say(id, w.Patient, "Secret"))
	require.EqualValues(w.T, 3, w.say(id, w.Doctor, "Take ten"))
	before = w.document(w.Patient, id, "")
	w.retract(id, w.Patient, 2)
	w.correct(id, w.Doctor, 3, "Take two")
	return id, before
}

func TestTranscript_HTTP(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.zones[w.Doctor.ID] = "America/New_York"
	id, before := w.edited()
	const kept, gone, fixed = 0, 1, 2 // places among the events

	doc := w.document(w.Patient, id, "")
	require.Equal(t, "UTC", doc.TimeZone)
	require.Len(t, doc.Participants, 2)
	require.Equal(t, "Kept", doc.Events[kept]["text"])
	require.NotContains(t, doc.Events[gone], "text")
	require.Equal(t, doc.Events[3]["at"], doc.Events[gone]["retractedAt"])
	require.Equal(t, "Take two", doc.Events[fixed]["text"])
	require.Equal(t, doc.Events[4]["at"], doc.Events[fixed]["correctedAt"])
	require.EqualValues(t, 5, doc.Events[fixed]["correctedBy"])
	again := w.document(w.Doctor, id, "upTo=3")
	require.NotEqual(t, before.SHA256, again.SHA256)
	require.NotContains(t, again.Events[gone], "text", "a later retraction counts too")
	require.Equal(t, doc.Events[gone]["retractedAt"], again.Events[gone]["retractedAt"])
	require.Equal(t, "Take two", again.Events[fixed]["text"], "and a later correction")

	theirs := w.document(w.Doctor, id, "")
	require.Equal(t, "America/New_York", theirs.TimeZone)
	require.Regexp(t, `-0[45]:00$`, theirs.Events[0]["local"])
	require.Equal(t, doc.SHA256, theirs.SHA256)
	require.Equal(t, "Asia/Tokyo", w.document(w.Doctor, id, "zone=Asia/Tokyo").TimeZone)

	for format, kind := range map[string]string{
		"json": "application/json", "txt": "text/plain; charset=utf-8", "pdf": "application/pdf",
	} {
		a := w.get(w.Patient, w.path(id)+"?format="+format)
		require.Equal(t, kind, a.Header.Get("Content-Type"))
		require.Equal(t, `attachment; filename="transcript-`+w.PublicID(id)+`.`+format+`"`,
			a.Header.Get("Content-Disposition"))
		require.Equal(t, "no-store", a.Header.Get("Cache-Control"))
		require.Equal(t, "nosniff", a.Header.Get("X-Content-Type-Options"))
		require.NotContains(t, a.String(), "Secret")
		if format == "txt" {
			require.Contains(t, a.String(), doc.SHA256)
		}
	}
	require.EqualValues(t, 8, w.Number(`select count(*) from audit_events
		where action = 'transcript.read' and patient_id = $1`, w.Patient.ID))
	empty := w.Appointment("PENDING") // without a conversation
	require.Empty(t, w.document(w.Patient, empty, "").Events)
}

func TestTranscript_HTTP_refusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, _ := w.edited()
	for path, want := range map[string]int{
		w.path(id) + "?format=private":           http.StatusUnprocessableEntity,
		w.path(id) + "?zone=private":             http.StatusUnprocessableEntity,
		w.path(id) + "?upTo=6":                   http.StatusUnprocessableEntity,
		"/appointments/APP9999999999/transcript": http.StatusNotFound,
		w.path(w.strangers()):                    http.StatusNotFound,
	} {
		a := w.get(w.Patient, path)
		require.Equal(t, want, a.Status, path)
		require.NotContains(t, a.String(), "private", "an error never echoes")
		require.NotEmpty(t, a.Code())
	}
}

// An administrator with break-glass access is shown what was said originally.
func TestService_Open_observer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.Conversation()
	gone := w.say(id, w.Patient, "Secret")
	fixed := w.say(id, w.Patient, "Take ten")
	for _, text := range []string{"Take five", "Take two"} {
		w.correct(id, w.Patient, fixed, text)
	}
	w.retract(id, w.Patient, gone)
	admin := w.SignIn(w.User(auth.Admin))
	_, err := w.conversations.BreakGlass(t.Context(), admin, conversation.GlassRequest{
		Appointment: w.PublicID(id), Reason: "A complaint by the patient", Lasts: time.Hour,
	})
	require.NoError(t, err)
	r, err := w.conversations.Readable(t.Context(), admin, w.PublicID(id))
	require.NoError(t, err)
	require.True(t, r.Observer())
	file := w.open(admin, r, Request{Format: Text})
	body, err := io.ReadAll(file)
	require.NoError(t, err)
	require.NoError(t, file.Close())
	for _, want := range []string{"Secret", "Take ten", "Take five", "Take two"} {
		require.Contains(t, string(body), "[originally: "+want+"]")
	}
}

// A transcript that has begun stays the same, whatever is sent, retracted and corrected while it is read.
func TestService_Open_consistent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.Conversation()
	w.fill(id, 3*pageSize)
	r := w.reading(id)
	read := func(during func()) string {
		file := w.open(w.Patient, r, Request{Format: JSON, UpTo: 3 * pageSize})
		defer func() { require.NoError(t, file.Close()) }()
		_, err := io.ReadFull(file, make([]byte, 100))
		require.NoError(t, err)
		during()
		body, err := io.ReadAll(file)
		require.NoError(t, err)
		var end struct{ SHA256 string }
		require.NoError(t, json.Unmarshal([]byte("{"+string(body[bytes.LastIndexByte(body, ',')+1:])), &end))
		return end.SHA256
	}
	sum := read(func() {})
	require.Equal(t, sum, read(func() {
		w.retract(id, w.Patient, 2*pageSize)
		w.correct(id, w.Patient, 2*pageSize+1, "other")
		w.say(id, w.Patient, "more")
	}))
	since := read(func() {})
	require.NotEqual(t, sum, since, "what was retracted and corrected since is not shown")
	w.say(id, w.Patient, "more")
	require.Equal(t, since, read(func() {}), "the same once more")
}

// However many messages there are, reading them takes the memory of a few pages.
func TestService_Open_memory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.Conversation()
	const n = 20_000
	w.fill(id, n)
	r := w.reading(id)
	for _, format := range []Format{JSON, Text} {
		file := w.open(w.Patient, r, Request{Format: format})
		stream, ok := file.Reader.(*Stream)
		require.True(t, ok)
		var size, most int
		part := make([]byte, 64<<10)
		for {
			got, err := file.Read(part)
			if size += got; errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			most = max(most, stream.Buffered())
		}
		require.NoError(t, file.Close())
		require.Greater(t, size, 500_000)
		require.Less(t, most, 200_000, "one page")
	}
}

// No more PDFs are made at once than memory is meant for.
func TestService_Open_busy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.Conversation()
	w.say(id, w.Patient, "Hello")
	others := make([]int64, pdfsAtOnce)
	for i := range others {
		others[i] = -int64(i)
		require.True(t, w.svc.pdfs.take(others[i]))
	}
	a := w.get(w.Patient, w.path(id)+"?format=pdf")
	require.Equal(t, http.StatusServiceUnavailable, a.Status)
	require.NotEmpty(t, a.Header.Get("Retry-After"))
	require.Equal(t, "busy", a.Code())
	require.Zero(t, w.Number(`select count(*) from audit_events where action = 'transcript.read'`), "nobody has read it")
	w.document(w.Patient, id, "format=json")
	w.svc.pdfs.leave(others[0])
	require.Equal(t, http.StatusOK, w.get(w.Patient, w.path(id)+"?format=pdf").Status)
}

// A PDF keeps its place until it has been sent, each user has one, and none outlasts its time or the service.
func TestService_Open_pdfPlaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.Conversation()
	w.say(id, w.Patient, "Hello")
	r := w.reading(id)
	first := w.open(w.Patient, r, Request{Format: PDF})
	_, err := w.svc.Open(t.Context(), w.Patient, r, Request{Format: PDF})
	require.ErrorIs(t, err, errBusy)
	theirs := w.open(w.Doctor, r, Request{Format: PDF})
	_, err = io.Copy(io.Discard, first)
	require.NoError(t, err)
	second := w.open(w.Patient, r, Request{Format: PDF}) // the first has been read
	require.NoError(t, first.Close())
	_, err = w.svc.Open(t.Context(), w.Patient, r, Request{Format: PDF})
	require.ErrorIs(t, err, errBusy, "closing a PDF that is over gives up nobody else's place")
	require.NoError(t, second.Close())
	require.EqualValues(t, 3, w.Number(`select count(*) from audit_events where action = 'transcript.read'`))

	w.svc.Stop()
	w.Eventually(func() bool { return w.svc.pdfs.take(w.Doctor.ID) }, "the service's end frees the place")
	_, err = theirs.Read(make([]byte, 1))
	require.ErrorIs(t, err, context.Canceled, "though it is in memory")
}

// When reading fails in the middle, the transfer breaks off, so that nobody takes a part for the whole.
func TestTranscript_HTTP_breaksOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.Conversation()
	w.fill(id, 20*pageSize)
	w.Exec(`update messages set body = repeat(body, 100) where room_id = $1`, id)
	w.Exec(`delete from messages where room_id = $1 and seq = $2`, id, 15*pageSize) // which never happens
	a, err := w.api.Try("GET", w.path(id), w.Patient.UserID, nil)
	require.Equal(t, http.StatusOK, a.Status)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.NotEmpty(t, a.Raw)
	require.NotContains(t, a.String(), `"sha256":`)
}

// BenchmarkTranscript writes 100,000 messages down.
func BenchmarkTranscript(b *testing.B) {
	w := newWorld(b)
	id := w.Conversation()
	w.fill(id, 100_000)
	w.Exec(`update messages set body = repeat('Words of a patient, ', 5) where room_id = $1`, id)
	r := w.reading(id)
	for _, format := range []Format{JSON, Text, PDF} {
		b.Run(string(format), func(b *testing.B) {
			for b.Loop() {
				runtime.GC()
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				file := w.open(w.Patient, r, Request{Format: format})
				runtime.ReadMemStats(&after)
				size, err := io.Copy(io.Discard, file)
				require.NoError(b, err)
				require.NoError(b, file.Close())
				b.ReportMetric(float64(size)/1e6, "MB")
				b.ReportMetric(float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/1e6, "heap-MB")
			}
		})
	}
}
