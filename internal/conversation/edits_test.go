package conversation

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/errs"
)

// TestREST_Edits: REST shows the same log in the same form.
func TestREST_Edits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, conversation := w.serve(), w.Conversation()
	path := "/appointments/" + w.PublicID(conversation) + "/messages"
	body := func(more string) string { return `{"clientId":"` + uuid.NewString() + `"` + more + `}` }
	file := w.file(conversation, w.Patient)
	for _, c := range []struct{ path, body string }{
		{"", body(`,"text":"first"`)},
		{"", body(`,"text":"second"`)},
		{"", body(`,"attachmentId":"` + file.String() + `"`)},
		{"", body(`,"text":"fourth"`)},
		{"/1/correct", body(`,"text":"corrected"`)},
		{"/1/correct", body(`,"text":"corrected again"`)},
		{"/2/correct", body(`,"text":"gone"`)},
		{"/2/retract", body(``)},
		{"/3/retract", body(``)},
	} {
		first := in.ask(w.Patient, "POST", path+c.path, c.body)
		require.Equal(t, 201, first.Status, "%s", first.Raw)
		require.Equal(t, false, first.Body["duplicate"])
		id := first.Body["clientId"].(string)
		spelled := strings.ToUpper(id) // the same id, and the answer repeats it as this client spells it
		again := in.ask(w.Patient, "POST", path+c.path, strings.Replace(c.body, id, spelled, 1))
		require.Equal(t, 201, again.Status)
		require.Equal(t, []any{first.Body["seq"], true, spelled},
			[]any{again.Body["seq"], again.Body["duplicate"], again.Body["clientId"]})
	}
	for name, c := range map[string]struct {
		by         auth.Actor
		path, body string
		status     int
		code       string
	}{
		"neither":             {w.Patient, "", body(``), 422, "invalid"},
		"both":                {w.Patient, "", body(`,"text":"x","attachmentId":"` + file.String() + `"`), 422, "invalid"},
		"no id of a file":     {w.Patient, "", body(`,"attachmentId":"` + uuid.Nil.String() + `"`), 422, "invalid"},
		"a file sent already": {w.Patient, "", body(`,"attachmentId":"` + file.String() + `"`), 404, "not_found"},
		"not there":           {w.Patient, "/99/retract", body(``), 404, "not_found"},
		"retracted":           {w.Patient, "/2/correct", body(`,"text":"x"`), 404, "not_found"},
		"the other's":         {w.Doctor, "/1/retract", body(``), 403, "not_yours"},
		"below one":           {w.Patient, "/0/retract", body(``), 422, "invalid"},
		"blank":               {w.Patient, "/1/correct", body(`,"text":" "`), 422, "empty"},
		"U+0000":              {w.Patient, "/1/correct", body(`,"text":"a\u0000"`), 422, "invalid"},
		"no clientId":         {w.Patient, "/1/retract", `{}`, 422, "invalid"},
	} {
		a := in.ask(c.by, "POST", path+c.path, c.body)
		require.Equal(t, []any{c.status, c.code}, []any{a.Status, a.Body["code"]}, "%s: %s", name, a.Raw)
	}
	items := in.ask(w.Doctor, "GET", path+"?after=0", "").Items()
	require.Len(t, items, 9)
	for i, got := range items {
		require.NotContains(t, []any{"second", "gone", "first", "corrected"}, got["text"])
		require.NotContains(t, got, "attachment", "it was retracted")
		_, has := got["text"]
		require.Equal(t, map[int]bool{0: true, 3: true, 4: true, 5: true}[i], has, "%v", got)
	}
	w.cancel(conversation)
	late := in.ask(w.Patient, "POST", path+"/1/retract", body(``))
	require.Equal(t, []any{409, "closed"}, []any{late.Status, late.Body["code"]})
}

// TestService_Submit_limits: senders and metrics are told which limit was exceeded, and edits count as well.
func TestService_Submit_limits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, c := range map[string]struct {
		change func(*Options)
		reason string
		want   error
		shared bool // with the other participant
	}{
		"user":         {func(o *Options) { o.UserPerSecond = 1 }, "rate_user", ErrUserTooFast, false},
		"conversation": {func(o *Options) { o.PerSecond = 1 }, "rate_room", ErrConversationTooFast, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, conversation := w.serve(c.change), w.Conversation()
			refused := 0
			for i := 0; refused < 3; i++ {
				d := draft(conversation, w.Patient, "x")
				if i%3 > 0 {
					d = retraction(conversation, w.Patient, 1<<40)
				}
				if _, err := in.svc.Send(t.Context(), d); errs.CodeOf(err) == "rate" {
					refused++
					require.Equal(t, c.want, err)
				}
			}
			require.Contains(t, c.want.Error(), name)
			require.InDelta(t, 3, testutil.ToFloat64(in.svc.metrics.refused.WithLabelValues(c.reason)), 0)
			_, err := in.svc.Send(t.Context(), draft(conversation, w.Doctor, "x"))
			require.Equal(t, c.shared, errs.CodeOf(err) == "rate", "%v", err)
			path := "/appointments/" + w.PublicID(conversation) + "/messages"
			a := in.ask(w.Patient, "POST", path, `{"clientId":"`+uuid.NewString()+`","text":"x"}`)
			require.Equal(t, []any{429, "rate"}, []any{a.Status, a.Code()})
		})
	}
}
