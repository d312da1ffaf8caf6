package hms

import (
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
	"housecall/internal/errs"
)

func FuzzParseForm(f *testing.F) {
	for _, s := range []string{
		`{"age":34}`, `{"age":"34","name":null,"x":{}}`, `{"age":1e3}`, `{"name":"\u0000"}`, `[]`, `null`, ``, `{}{}`,
		`{"age":true}`, `{"age":1,"age":2}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		form, err := parseForm(body)
		if err != nil {
			require.Contains(t, []error{errBody, errTwice}, err)
			return
		}
		name, age := form.maybe("name"), form.number("age")
		if name != nil && (!utf8.ValidString(*name) || strings.ContainsRune(*name, 0)) {
			t.Fatalf("%q was taken for a name", *name)
		}
		if age != nil && form.maybe("age") == nil {
			t.Fatal("a number came from nothing")
		}
	})
}

func TestForm(t *testing.T) {
	t.Parallel()
	f, err := parseForm([]byte(`{"a":1,"b":"2","c":null,"d":true,"e":[],"f":" ","g":"\u0000","h":2.5,"i":"x"}`))
	require.NoError(t, err)
	require.Equal(t, "1", f.text("a"))
	require.Equal(t, 1, *f.number("a"))
	require.Equal(t, 2, *f.number("b"))
	require.Nil(t, f.maybe("c"))
	require.Equal(t, "true", f.text("d"))
	require.Nil(t, f.number("nowhere"))
	require.Nil(t, f.number("f"))
	require.NoError(t, f.err())
	f.text("e")
	f.required("f")
	f.text("g")
	f.number("h")
	f.number("i")
	f.required("nowhere")
	var e *errs.Error
	require.ErrorAs(t, f.err(), &e)
	status, body := envelope(http.StatusUnprocessableEntity, e)
	require.Equal(t, http.StatusBadRequest, status)
	require.Equal(
		t,
		map[string]string{"message": "e must be text. f is required. g must not contain the character U+0000. " +
			"h must be a whole number. i must be a whole number. nowhere is required."},
		body,
	)
	for _, bad := range []string{`[]`, `"x"`, `{`, `{}{}`, "\xff", `{"a":"` + "\xff" + `"}`} {
		_, err := parseForm([]byte(bad))
		require.Equal(t, errBody, err, bad)
	}
	_, err = parseForm([]byte(`{"a":1,"b":2,"a":3}`))
	require.ErrorAs(t, err, &e)
	status, body = envelope(http.StatusBadRequest, e)
	require.Equal(t, http.StatusBadRequest, status)
	require.Equal(t, map[string]string{"message": "Send each field only once."}, body)
}

// Each of our statuses is one of the older three.
func TestStatuses(t *testing.T) {
	t.Parallel()
	got := map[appointment.Status]string{}
	for _, s := range appointment.Statuses {
		got[s] = statusOf[s]
	}
	require.Equal(t, map[appointment.Status]string{
		appointment.Pending: "PENDING", appointment.Booked: "BOOKED", appointment.Completed: "BOOKED",
		appointment.Rejected: "REJECTED", appointment.Cancelled: "REJECTED", appointment.Expired: "REJECTED",
		appointment.NoShow: "REJECTED",
	}, got)
}
