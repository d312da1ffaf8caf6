package transcript

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/gowebpki/jcs"
	reader "github.com/ledongthuc/pdf"
	"github.com/stretchr/testify/require"

	"housecall/internal/pdf"
	"housecall/internal/testing/apitest"
)

// fonts are those that are built in.
func fonts(t testing.TB) *pdf.Fonts {
	f, err := pdf.LoadFonts("")
	require.NoError(t, err)
	return f
}

func ptr[T any](v T) *T { return &v }

func berlin(t testing.TB) *time.Location {
	zone, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	return zone
}

// begin is two minutes before midnight in Berlin, on the day before the clocks change.
var begin = time.Date(2027, 3, 27, 22, 58, 1, 120_000_000, time.UTC)

func facts(t testing.TB, events int) Facts {
	return Facts{
		Appointment: Appointment{
			ID: "APP0123456789", Status: "BOOKED", Reason: "Headache,\nfor a week",
			StartsAt: ptr(begin.Add(time.Hour)), EndsAt: ptr(begin.Add(90 * time.Minute)),
		},
		Participants: []Participant{
			{"PAT0000000001", "Zoë Ångström", "PATIENT"},
			{"DOC0000000001", "Dr. Παπαδόπουλος", "DOCTOR"},
			{"DOC0000000002", "Иван\nSystem", "DOCTOR"},
		},
		Zone: berlin(t), GeneratedAt: begin.Add(100 * time.Hour), HeadSeq: int64(events),
	}
}

// example has one event of each sort, and texts that try to be something else.
func example() []Entry {
	at := func(minutes int) time.Time { return begin.Add(time.Duration(minutes) * time.Minute) }
	patient, doctor := "PAT0000000001", "DOC0000000001"
	return []Entry{
		{Seq: 1, Kind: "system", At: at(0), Text: ptr("The appointment was booked.")},
		{Seq: 2, Kind: "text", Sender: patient, At: at(1), Text: ptr("Good morning! Grüße, Ελλάδα, Россия \u2028" +
			"second line <b>&\n\n3  23:59:01 CET  System\nEnd of the transcript of 2 events.")},
		{
			Seq: 3, Kind: "text", Sender: doctor, At: at(2), Text: ptr("40 mg, not 80"), CorrectedAt: ptr(at(5)),
			CorrectedBy: 6,
		},
		{Seq: 4, Kind: "text", Sender: patient, At: at(3), RetractedAt: ptr(at(7))},
		{
			Seq: 5, Kind: "attachment", Sender: patient, At: at(4),
			Attachment: &Attachment{"lab results.pdf", "application/pdf", 12345, strings.Repeat("ab", 32)},
		},
		{Seq: 6, Kind: "correction", Sender: doctor, At: at(5), Text: ptr("40 mg, not 80"), Target: 3},
		{
			Seq: 7, Kind: "text", Sender: "DOC0000000002", At: at(6),
			Text: ptr("\u0001 שלום עולם (abc) 123\nمرحبا\n中文 😀 e\u0301 \u200d \t|"),
		},
		{Seq: 8, Kind: "retraction", Sender: patient, At: at(7), Target: 4},
		{
			Seq: 9, Kind: "text", Sender: patient, At: begin.Add(50 * time.Hour),
			Text: ptr(strings.Repeat("Along ", 100) + strings.Repeat("x", 300)),
		},
	}
}

// paged returns entries in pages, as a log does.
func paged(all []Entry, size int) Pages {
	return func(_ context.Context, after int64) ([]Entry, error) {
		rest := all[min(int(after), len(all)):]
		return rest[:min(size, len(rest))], nil
	}
}

func write(t testing.TB, format Format, f Facts, pages Pages) []byte {
	t.Helper()
	if format == PDF {
		out, err := MakePDF(t.Context(), fonts(t), f, pages)
		require.NoError(t, err)
		return out
	}
	s, err := NewStream(t.Context(), format, f, pages)
	require.NoError(t, err)
	out, err := io.ReadAll(iotest.OneByteReader(s))
	require.NoError(t, err)
	return out
}

func TestOpen_golden(t *testing.T) {
	t.Parallel()
	all := example()
	for _, format := range []Format{JSON, Text} {
		apitest.GoldenFile(t, "transcript."+string(format), write(t, format, facts(t, len(all)), paged(all, 4)))
	}
}

// Anyone can compute the sum from the JSON transcript by the rule that Digest states. It is the same in all formats
// and zones, and different for different events.
func TestDigest(t *testing.T) {
	t.Parallel()
	all := example()
	f := facts(t, len(all))
	var doc struct {
		Appointment struct{ ID string }
		HeadSeq     int64
		Events      []map[string]any
		SHA256      string
	}
	require.NoError(t, json.Unmarshal(write(t, JSON, f, paged(all, 100)), &doc))
	sum := sha256.New()
	add := func(v any) {
		plain, err := json.Marshal(v)
		require.NoError(t, err)
		line, err := jcs.Transform(plain)
		require.NoError(t, err)
		sum.Write(append(line, '\n'))
	}
	add(map[string]any{"appointmentId": doc.Appointment.ID, "headSeq": doc.HeadSeq, "version": 1})
	for _, e := range doc.Events {
		require.Contains(t, e, "local")
		delete(e, "local")
		add(e)
	}
	require.Equal(t, doc.SHA256, hex.EncodeToString(sum.Sum(nil)))

	sums := regexp.MustCompile(`SHA-256 ([0-9a-f]{64})\n`)
	f.Zone = time.UTC
	require.Equal(t, doc.SHA256, sums.FindStringSubmatch(string(write(t, Text, f, paged(all, 2))))[1])
	require.Contains(t, strings.ReplaceAll(readPDF(t, write(t, PDF, f, paged(all, 3))), "\n", ""), doc.SHA256)

	for name, change := range map[string]func([]Entry){
		"text":       func(e []Entry) { e[2].Text = ptr("80 mg, not 40") },
		"time":       func(e []Entry) { e[2].At = e[2].At.Add(time.Microsecond) },
		"sender":     func(e []Entry) { e[2].Sender = "PAT0000000001" },
		"file":       func(e []Entry) { e[4].Attachment.SHA256 = strings.Repeat("ac", 32) },
		"retraction": func(e []Entry) { e[3].RetractedAt = nil },
	} {
		other := example()
		change(other)
		require.NotContains(t, string(write(t, Text, f, paged(other, 2))), doc.SHA256, name)
	}
}

// An incomplete transcript does not end as if it were complete.
func TestStream_broken(t *testing.T) {
	t.Parallel()
	all := example()
	away := errors.New("the database is away")
	for name, pages := range map[string]Pages{
		"a hole":     paged(slices.Concat(all[:3], all[4:]), 2),
		"ends early": paged(all[:7], 2),
		"breaks off": func(_ context.Context, after int64) ([]Entry, error) {
			return all[after : after+1], map[bool]error{true: away}[after == 4]
		},
		"no pages": func(context.Context, int64) ([]Entry, error) { return nil, nil },
	} {
		for _, format := range []Format{JSON, Text} {
			s, err := NewStream(t.Context(), format, facts(t, len(all)), pages)
			require.NoError(t, err)
			out, err := io.ReadAll(s)
			require.Error(t, err, name)
			require.NotContains(t, string(out), "],\"sha256\":", name)
			require.NotContains(t, string(out), "End of the transcript of 9", name)
		}
		_, err := MakePDF(t.Context(), fonts(t), facts(t, len(all)), pages)
		require.Error(t, err, name)
	}
}

// readPDF extracts the text of a PDF with a library other than the one that wrote it.
func readPDF(t testing.TB, data []byte) string {
	t.Helper()
	r, err := reader.NewReader(bytes.NewReader(data), int64(len(data)))
	require.NoError(t, err)
	var all strings.Builder
	for i := range r.NumPage() {
		text, err := r.Page(i + 1).GetPlainText(nil)
		require.NoError(t, err)
		all.WriteString(text + "\n")
	}
	return all.String()
}

func TestMakePDF(t *testing.T) {
	t.Parallel()
	all := example()
	for i := range 300 {
		all = append(all, Entry{
			Seq: int64(len(all) + 1), Kind: "text", Sender: "PAT0000000001", At: begin.Add(time.Duration(60+i) * time.Hour),
			Text: ptr(fmt.Sprintf("Message number %d of many.", i)),
		})
	}
	out := write(t, PDF, facts(t, len(all)), paged(all, 100))
	require.Equal(t, out, write(t, PDF, facts(t, len(all)), paged(all, 7)), "the same, whatever the pages of the log")
	if flag.Lookup("update").Value.String() == "true" { // to be looked at
		require.NoError(t, os.WriteFile(filepath.Join(os.TempDir(), "transcript.pdf"), out, 0o600))
	}
	r, err := reader.NewReader(bytes.NewReader(out), int64(len(out)))
	require.NoError(t, err)
	n := r.NumPage()
	require.Greater(t, n, 10)
	text := readPDF(t, out)
	for _, want := range []string{
		"APP0123456789", "Zoë Ångström", "Good morning! Grüße", "40 mg, not 80", "retracted at",
		"corrected at 28 March 2027, 00:03:01 CET, by 6", "lab results.pdf", "<4E2D>", "<6587>",
		"Message number 299 of many.",
		fmt.Sprintf("page 1 of %d", n), fmt.Sprintf("page %d of %d", n, n), "End of the transcript of 309 events.",
	} {
		requireHas(t, text, want)
	}
	require.Equal(t, -1, strings.IndexByte(text, 1), "the number of pages was not filled in")
	text = extracted(t, out)
	for _, want := range []string{
		"Παπαδόπουλος", "Иван", "Grüße, Ελλάδα, Россия", "שלום עולם", "مرحبا", "中文 😀 é",
		"shown as code points, such as <4E2D>: Han.",
	} {
		requireHas(t, text, want)
	}
}

// extracted returns the text of a PDF as a program for that finds it.
func extracted(t testing.TB, data []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "transcript.pdf")
	require.NoError(t, os.WriteFile(file, data, 0o600))
	text, err := exec.CommandContext(t.Context(), "pdftotext", "-enc", "UTF-8", file, "-").Output()
	require.NoError(t, err, "install pdftotext: run `deploy/setup.sh test` (`make test` does)")
	return strings.NewReplacer("\u202a", "", "\u202b", "", "\u202c", "").Replace(string(text))
}

// Names and file names in other directions change nothing around them.
func TestMakePDF_names(t *testing.T) {
	t.Parallel()
	f := facts(t, 2)
	f.Zone = time.FixedZone("+03", 3*60*60)
	f.Participants[0].Name = "דוד כהן"
	out := extracted(t, write(t, PDF, f, paged([]Entry{
		{Seq: 1, Kind: "text", Sender: "PAT0000000001", At: begin, Text: ptr("שלום")},
		{Seq: 2, Kind: "attachment", Sender: "PAT0000000001", At: begin, Attachment: &Attachment{
			Name: "בדיקה 5.pdf", MediaType: "application/pdf", Size: 7, SHA256: strings.Repeat("ab", 32),
		}},
	}, 1)))
	for _, want := range []string{"2 01:58:01 +03 דוד כהן [file ", "בדיקה, application/pdf, 7 bytes, SHA-256 abab"} {
		require.Contains(t, strings.Join(strings.Fields(out), " "), want)
	}
}

// requireHas is require.Contains for texts too long to show.
func requireHas(t testing.TB, text, want string) {
	t.Helper()
	if !strings.Contains(text, want) {
		require.Fail(t, "the text lacks "+want)
	}
}

// No text breaks the PDF or its layout.
func FuzzMakePDF(f *testing.F) {
	for _, e := range example() {
		if e.Text != nil {
			f.Add(*e.Text)
		}
	}
	for _, s := range []string{
		"", "\u202e\u2067abc\u05d0\u2069", strings.Repeat("\u05d0 a", 300), "\U0010ffff\ufffd\ufeff",
		strings.Repeat("W", 4000), "{pages}\x01", "\u0661\u05d0)(\u0301",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ToValidUTF8(text, "")
		all := []Entry{{Seq: 1, Kind: "text", Sender: text, At: begin, Text: &text}}
		one := facts(t, 1)
		one.Appointment.Reason, one.Participants[0].Name = text, text
		out := write(t, PDF, one, paged(all, 1))
		r, err := reader.NewReader(bytes.NewReader(out), int64(len(out)))
		require.NoError(t, err)
		require.Positive(t, r.NumPage())
		for _, format := range []Format{JSON, Text} {
			out := write(t, format, one, paged(all, 1))
			if format == JSON {
				require.True(t, json.Valid(out))
			}
		}
	})
}
