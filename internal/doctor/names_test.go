package doctor_test

import (
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/config"
	"housecall/internal/doctor"
	"housecall/internal/errs"
	"housecall/internal/schedule"
	"housecall/internal/testing/clinic"
	"housecall/internal/text"
)

// with is the package with other options, on the same database.
func (w *world) with(o doctor.Options) *doctor.Service {
	return doctor.New(doctor.Deps{
		Pool: w.pool, Options: o,
		Schedules: schedule.New(schedule.Deps{Options: clinic.ScheduleOptions(config.Default())}),
	})
}

// directory is who is in it, by pages of some size.
func (w *world) directory(svc *doctor.Service, size int) (names []string) {
	w.t.Helper()
	var after doctor.Position
	for more := true; more; {
		page, rest, err := svc.Directory(w.t.Context(), doctor.Filter{}, after, size)
		require.NoError(w.t, err)
		for _, d := range page {
			names = append(names, d.Name)
			after = svc.PositionOf(d)
		}
		more = rest
	}
	return names
}

// The directory has the order of the clinic's language, and its pages leave nobody out.
func TestService_Directory_collation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// Two of them are spelled the same for people, and "Zoë" is there composed and decomposed.
	for _, name := range []string{"Öst", "zimmer", "Ångström", "Zoë", "Adam", "ärzt", "Olsen", "Adam", "Zoe\u0308", "adam", "O'Neil"} {
		w.user("DOC"+uuid.NewString()[:10], name, auth.Doctor, "")
	}
	for collation, want := range map[string][]string{
		"sv-x-icu": {
			"adam", "Adam", "Adam", "O'Neil", "Olsen", "zimmer", "Zoe\u0308", "Zoë", "Ångström", "ärzt", "Öst",
		},
		"de-x-icu": {
			"adam", "Adam", "Adam", "Ångström", "ärzt", "O'Neil", "Olsen", "Öst", "zimmer", "Zoe\u0308", "Zoë",
		},
	} {
		svc := w.with(doctor.Options{Collation: collation})
		require.NoError(t, svc.CheckCollation(t.Context()))
		for _, size := range []int{100, 3, 1} {
			require.Equal(t, want, w.directory(svc, size), "%s, %d", collation, size)
		}
	}
	require.Len(t, w.directory(w.with(doctor.Options{}), 1), 11, "the database's own")
	german, swedish := w.with(doctor.Options{Collation: "de-x-icu"}), w.with(doctor.Options{Collation: "sv-x-icu"})
	page, _, err := german.Directory(t.Context(), doctor.Filter{}, doctor.Position{}, 1)
	require.NoError(t, err)
	_, _, err = swedish.Directory(t.Context(), doctor.Filter{}, german.PositionOf(page[0]), 1)
	require.Equal(t, errs.Invalid, errs.KindOf(err), "the order has changed between two pages")
	none := w.with(doctor.Options{Collation: `x" desc; drop table users; --`})
	require.ErrorContains(t, none.CheckCollation(t.Context()), "does not exist")
}

// A search does not mind accents, whoever has written the row.
func TestRoutes_Directory_folded(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	const name, other = "Dr Jürgen Müller-Łuczak", "Dr Ørsted"
	id := w.user("DOC000000JURGEN", name, auth.Doctor, "Pédiatrie")
	found := func(q string) []string {
		t.Helper()
		got := w.call("GET", "/doctors?q="+q, "", "", "")
		require.Equal(t, http.StatusOK, got.Status)
		return got.Each("userId")
	}
	jurgen := []string{"DOC000000JURGEN"}
	require.Equal(t, jurgen, found("m%C3%BCller"), "the row is of the release before")
	require.Equal(t, jurgen, found("p%C3%A9d"))

	require.NoError(t, w.svc.CatchUp(t.Context()))
	w.exec(`update users set folded = $2, folded_from = name where id = $1`, id, text.Fold(name)) // as account does
	for _, q := range []string{
		"muller", "MULLER", "m%C3%BCller", "mu%CC%88ller", "m%C3%BCller+luczak", "jurgen+m", "pediatrie", "PEDI", "p%C3%A9diatrie",
	} {
		require.Equal(t, jurgen, found(q), q)
	}
	require.Empty(t, found("%25"))
	require.Empty(t, found("."))
	require.Empty(t, found("pediatrie+mbbs"), "two fields")

	w.exec(`update users set name = $2 where id = $1`, id, other) // by the release before
	w.exec(`update doctors set specialization = 'Urgències' where user_id = $1`, id)
	require.Empty(t, found("muller"))
	require.Equal(t, jurgen, found("%C3%B8rsted"))
	require.Empty(t, found("pediatrie"))
	require.Equal(t, jurgen, found("urg%C3%A8ncies"))
	require.NoError(t, w.svc.CatchUp(t.Context()))
	require.Equal(t, jurgen, found("urgencies"))
}

// A phone number is kept as typed, with its E.164 beside it, for those who may see it.
func TestService_Change_phone(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	svc, ctx := w.with(doctor.Options{PhoneRegion: "US"}), t.Context()
	id, err := svc.Find(ctx, w.pool, ann)
	require.NoError(t, err)
	by := auth.Actor{ID: id, UserID: ann, Role: auth.Doctor}
	typed := "\u202a(212)\u00a0555-0142\u202c"
	d, err := svc.Change(ctx, by, ann, 1, doctor.Change{Phone: &typed})
	require.NoError(t, err)
	require.Equal(t, "(212) 555-0142", d.Phone)
	require.Equal(t, "+12125550142", d.PhoneE164)
	require.Equal(t, "+12125550142", w.call("GET", "/doctors/"+ann, admin, "", "").Text("phoneE164"))
	require.NotContains(t, string(w.call("GET", "/doctors/"+ann, pat, "", "").Raw), "555")
	require.NotContains(t, string(w.call("GET", "/doctors", "", "", "").Raw), "555")

	w.exec(`update doctors set phone = '212-555-0199' where user_id = $1`, id) // by the release before
	d, err = svc.Get(ctx, ann)
	require.NoError(t, err)
	require.Empty(t, d.PhoneE164, "not of another number")
	require.NoError(t, svc.CatchUp(ctx))
	d, err = svc.Get(ctx, ann)
	require.NoError(t, err)
	require.Equal(t, "+12125550199", d.PhoneE164)
	require.Equal(t, 2, d.Version, "nobody has changed it")
}
