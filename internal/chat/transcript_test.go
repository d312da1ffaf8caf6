package chat

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

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/config"
	"housecall/internal/transcript"
)

// zones are what users have chosen.
type zones map[int64]string

func (z zones) Zone(_ context.Context, user int64) (*time.Location, error) {
	if z[user] == "" {
		return nil, nil
	}
	return config.LoadZone(z[user])
}

// document is a transcript as JSON.
type transcriptDocument struct {
	Appointment  map[string]any
	Participants []map[string]any
	TimeZone     string
	GeneratedAt  time.Time
	HeadSeq      int64
	Events       []map[string]any
	SHA256       string
}

func (in *instance) transcript(t testing.TB, by auth.Actor, room int64, query string) transcriptDocument {
	t.Helper()
	a := in.rest(by, "GET", "/appointments/"+in.publicID(room)+"/transcript?"+query, "")
	require.Equal(t, http.StatusOK, a.status, "%s", a.raw)
	var doc transcriptDocument
	require.NoError(t, json.Unmarshal(a.raw, &doc))
	require.Len(t, doc.SHA256, 64)
	require.Len(t, doc.Events, int(doc.HeadSeq))
	return doc
}

func TestTranscript_HTTP(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, room := w.serve(nil), w.room()
	in.svc.d.Zones = zones{w.doctor.ID: "America/New_York"}
	kept := in.say(t, room, w.patient, "Kept")
	gone := in.say(t, room, w.patient, "Secret")
	fixed := in.say(t, room, w.doctor, "Take ten")
	before := in.transcript(t, w.patient, room, "")
	_, err := in.svc.Retract(t.Context(), w.patient, room, uuid.New(), gone)
	require.NoError(t, err)
	_, err = in.svc.Correct(t.Context(), w.doctor, room, uuid.New(), fixed, "Take two")
	require.NoError(t, err)

	doc := in.transcript(t, w.patient, room, "")
	require.Equal(t, "UTC", doc.TimeZone)
	require.Len(t, doc.Participants, 2)
	require.Equal(t, "Kept", doc.Events[kept-1]["text"])
	require.NotContains(t, doc.Events[gone-1], "text")
	require.Equal(t, doc.Events[3]["at"], doc.Events[gone-1]["retractedAt"])
	require.Equal(t, "Take two", doc.Events[fixed-1]["text"])
	require.Equal(t, doc.Events[4]["at"], doc.Events[fixed-1]["correctedAt"])
	require.EqualValues(t, 5, doc.Events[fixed-1]["correctedBy"])
	again := in.transcript(t, w.doctor, room, "upTo=3")
	require.NotEqual(t, before.SHA256, again.SHA256)
	require.NotContains(t, again.Events[gone-1], "text", "what was taken back is gone from what came before it, too")
	require.Equal(t, doc.Events[gone-1]["retractedAt"], again.Events[gone-1]["retractedAt"])
	require.Equal(t, "Take two", again.Events[fixed-1]["text"], "and so are earlier words")

	theirs := in.transcript(t, w.doctor, room, "")
	require.Equal(t, "America/New_York", theirs.TimeZone)
	require.Regexp(t, `-0[45]:00$`, theirs.Events[0]["local"])
	require.Equal(t, doc.SHA256, theirs.SHA256)
	require.Equal(t, "Asia/Tokyo", in.transcript(t, w.doctor, room, "zone=Asia/Tokyo").TimeZone)

	path := "/appointments/" + in.publicID(room) + "/transcript"
	for format, kind := range map[string]string{"json": "application/json", "txt": "text/plain; charset=utf-8", "pdf": "application/pdf"} {
		a := in.rest(w.patient, "GET", path+"?format="+format, "")
		require.Equal(t, kind, a.header.Get("Content-Type"))
		require.Equal(t, `attachment; filename="transcript-`+in.publicID(room)+`.`+format+`"`, a.header.Get("Content-Disposition"))
		require.Equal(t, []string{"no-store", "nosniff"}, []string{a.header.Get("Cache-Control"), a.header.Get("X-Content-Type-Options")})
		require.NotContains(t, string(a.raw), "Secret")
		if format == "txt" {
			require.Contains(t, string(a.raw), doc.SHA256)
		}
	}
	require.EqualValues(t, 8, w.number(`select count(*) from audit_events where action = 'transcript.read' and patient_id = $1`, w.patient.ID))
	for bad, want := range map[string]int{
		path + "?format=private":                 http.StatusUnprocessableEntity,
		path + "?zone=private":                   http.StatusUnprocessableEntity,
		path + "?upTo=6":                         http.StatusUnprocessableEntity,
		"/appointments/APP9999999999/transcript": http.StatusNotFound,
		"/appointments/" + in.publicID(in.strangers(t)) + "/transcript": http.StatusNotFound,
	} {
		a := in.rest(w.patient, "GET", bad, "")
		require.Equal(t, want, a.status, bad)
		require.NotContains(t, string(a.raw), "private")
		require.Contains(t, string(a.raw), `"code"`)
	}
	empty := w.appointment("PENDING") // without a conversation
	require.Empty(t, in.transcript(t, w.patient, empty, "").Events)
}

// Who reads through a broken glass is shown what was said at first.
func TestService_Transcript_glass(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, room := w.serve(nil), w.room()
	gone := in.say(t, room, w.patient, "Secret")
	fixed := in.say(t, room, w.patient, "Take ten")
	for _, text := range []string{"Take five", "Take two"} {
		_, err := in.svc.Correct(t.Context(), w.patient, room, uuid.New(), fixed, text)
		require.NoError(t, err)
	}
	_, err := in.svc.Retract(t.Context(), w.patient, room, uuid.New(), gone)
	require.NoError(t, err)
	a, err := in.svc.d.Appointments.ByID(t.Context(), room)
	require.NoError(t, err)
	file, err := in.svc.Transcript(t.Context(), w.signIn(w.user(auth.Admin)), Reading{Appointment: a, Glass: true}, TranscriptRequest{Format: transcript.Text})
	require.NoError(t, err)
	body, err := io.ReadAll(file)
	require.NoError(t, err)
	require.NoError(t, file.Close())
	for _, want := range []string{"[originally: Secret]", "[originally: Take ten]", "[originally: Take five]", "[originally: Take two]"} {
		require.Contains(t, string(body), want)
	}
}

// A transcript that is begun stays the same, whatever is sent, taken back and corrected while it is read.
func TestService_Transcript_consistent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, room := w.serve(nil), w.room()
	w.fill(room, 3*transcriptPage)
	a, err := in.svc.d.Appointments.ByID(t.Context(), room)
	require.NoError(t, err)
	read := func(during func()) string {
		file, err := in.svc.Transcript(t.Context(), w.patient, Reading{Appointment: a}, TranscriptRequest{Format: transcript.JSON, UpTo: 3 * transcriptPage})
		require.NoError(t, err)
		defer func() { require.NoError(t, file.Close()) }()
		_, err = io.ReadFull(file, make([]byte, 100))
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
		_, err := in.svc.Retract(t.Context(), w.patient, room, uuid.New(), 2*transcriptPage)
		require.NoError(t, err)
		_, err = in.svc.Correct(t.Context(), w.patient, room, uuid.New(), 2*transcriptPage+1, "other")
		require.NoError(t, err)
		in.say(t, room, w.patient, "more")
	}))
	since := read(func() {})
	require.NotEqual(t, sum, since, "what was taken back and corrected since is not shown")
	in.say(t, room, w.patient, "more")
	require.Equal(t, since, read(func() {}), "the same once more")
}

// However many messages there are, they are read with the memory of a few pages.
func TestTranscript_memory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, room := w.serve(nil), w.room()
	const n = 20_000
	w.fill(room, n)
	a, err := in.svc.d.Appointments.ByID(t.Context(), room)
	require.NoError(t, err)
	for _, format := range []transcript.Format{transcript.JSON, transcript.Text} {
		file, err := in.svc.Transcript(t.Context(), w.patient, Reading{Appointment: a}, TranscriptRequest{Format: format})
		require.NoError(t, err)
		var size, most int
		part := make([]byte, 64<<10)
		for {
			got, err := file.Read(part)
			if size += got; errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			most = max(most, file.Reader.(*transcript.Stream).Buffered())
		}
		require.NoError(t, file.Close())
		require.Greater(t, size, 500_000)
		require.Less(t, most, 200_000, "one page")
	}
}

// No more PDFs are made at once than memory is meant for.
func TestService_Transcript_busy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, room := w.serve(nil), w.room()
	in.say(t, room, w.patient, "Hello")
	others := make([]int64, pdfsAtOnce)
	for i := range others {
		others[i] = -int64(i)
		require.True(t, in.svc.pdfs.take(others[i]))
	}
	path := "/appointments/" + in.publicID(room) + "/transcript"
	a := in.rest(w.patient, "GET", path+"?format=pdf", "")
	require.Equal(t, http.StatusServiceUnavailable, a.status)
	require.NotEmpty(t, a.header.Get("Retry-After"))
	require.Equal(t, "busy", a.body["code"])
	require.Zero(t, w.number(`select count(*) from audit_events where action = 'transcript.read'`), "nobody has read it")
	in.transcript(t, w.patient, room, "format=json")
	in.svc.pdfs.leave(others[0])
	require.Equal(t, http.StatusOK, in.rest(w.patient, "GET", path+"?format=pdf", "").status)
}

// A PDF keeps its place until it has been sent, each user has one, and none outlasts its time or the service.
func TestService_Transcript_pdfPlaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, room := w.serve(nil), w.room()
	in.say(t, room, w.patient, "Hello")
	a, err := in.svc.d.Appointments.ByID(t.Context(), room)
	require.NoError(t, err)
	pdf := func(by auth.Actor) (Transcript, error) {
		return in.svc.Transcript(t.Context(), by, Reading{Appointment: a}, TranscriptRequest{Format: transcript.PDF})
	}
	first, err := pdf(w.patient)
	require.NoError(t, err)
	_, err = pdf(w.patient)
	require.ErrorIs(t, err, errBusy)
	theirs, err := pdf(w.doctor)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, first)
	require.NoError(t, err)
	second, err := pdf(w.patient)
	require.NoError(t, err, "the first has been read")
	require.NoError(t, first.Close())
	_, err = pdf(w.patient)
	require.ErrorIs(t, err, errBusy, "closing what is over gives up no other's place")
	require.NoError(t, second.Close())
	require.EqualValues(t, 3, w.number(`select count(*) from audit_events where action = 'transcript.read'`))

	in.svc.stop()
	require.Eventually(t, func() bool { return in.svc.pdfs.take(w.doctor.ID) }, time.Minute, time.Millisecond)
	_, err = theirs.Read(make([]byte, 1))
	require.ErrorIs(t, err, context.Canceled, "though it is in memory")
}

// When the database goes away in the middle, the transfer breaks off: nobody takes the half for the whole.
func TestTranscript_breaksOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, room := w.serve(nil), w.room()
	w.fill(room, 20*transcriptPage)
	w.exec(`update messages set body = repeat(body, 100) where room_id = $1`, room)
	w.exec(`delete from messages where room_id = $1 and seq = $2`, room, 15*transcriptPage) // as if
	r := in.request(w.patient, "GET", "/appointments/"+in.publicID(room)+"/transcript", "")
	require.Equal(t, http.StatusOK, r.StatusCode)
	body, err := io.ReadAll(r.Body)
	require.Error(t, err)
	_ = r.Body.Close() // it is broken already
	require.NotContains(t, string(body), `"sha256":`)
}

// BenchmarkTranscript writes 100,000 messages down.
func BenchmarkTranscript(b *testing.B) {
	w := newWorld(b)
	in, room := w.serve(nil), w.room()
	w.fill(room, 100_000)
	w.exec(`update messages set body = repeat('Words of a patient, ', 5) where room_id = $1`, room)
	a, err := in.svc.d.Appointments.ByID(context.Background(), room)
	require.NoError(b, err)
	for _, format := range []transcript.Format{transcript.JSON, transcript.Text, transcript.PDF} {
		b.Run(string(format), func(b *testing.B) {
			for b.Loop() {
				runtime.GC()
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				file, err := in.svc.Transcript(context.Background(), w.patient, Reading{Appointment: a}, TranscriptRequest{Format: format})
				require.NoError(b, err)
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
