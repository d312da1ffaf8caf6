package app

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/notify"
	"housecall/internal/postgres"
)

// mails gives those that instances have written whose Message-ID begins so.
func (w *world) mails(id string) (out []string) {
	w.t.Helper()
	files, err := filepath.Glob(filepath.Join(w.cfg.MailDir, "*.eml"))
	require.NoError(w.t, err)
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(w.t, err)
		if strings.Contains(string(b), "Message-ID: <"+id) {
			out = append(out, string(b))
		}
	}
	return out
}

// A move that is told on two instances at once becomes one mail to each participant, with nothing clinical in it.
func TestApp_Notices(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	patient, doctor, room := w.pair()
	a, err := w.apps[0].chat.Find(w.context(), auth.Actor{ID: w.idOf(patient.User().UserID), Role: auth.Patient}, room)
	require.NoError(t, err)
	shown := noticed(a, w.cfg.ClinicZone)
	for _, instance := range w.apps {
		require.NoError(t, instance.pool.InTx(w.context(), func(tx *postgres.Tx) error {
			return instance.notices.Moved(w.context(), tx, notify.Confirmed, shown, shown.DoctorID)
		}))
	}
	var mails []string
	w.eventually("both have their mail", func() bool { mails = w.mails("confirmed." + room); return len(mails) == 2 })
	all := strings.Join(mails, "\n")
	require.Contains(t, all, "@private.test")
	require.Contains(t, all, "http://clinic.test/appointments/"+room)
	require.NotContains(t, all, "cough", "the reason stays where it is")
	admin := w.token(w.person(auth.Admin).at(1))
	w.eventually("the jobs are done", func() bool {
		r := w.call(1, admin, "GET", "/api/v1/admin/jobs?state=completed", "")
		require.NotContains(t, string(r.raw), room)
		return strings.Count(string(r.raw), `"kind":"mail_appointment"`) >= 2
	})
	w.call(0, w.token(doctor), "GET", "/api/v1/admin/jobs", "").problem(t, 403)
	require.NotContains(t, w.log.text(), "@private.test")
}

// idOf is a user's inner key.
func (w *world) idOf(publicID string) (id int64) {
	w.t.Helper()
	require.NoError(w.t, w.apps[0].pool.QueryRow(context.Background(), `select id from users where public_id = $1`, publicID).Scan(&id))
	return id
}
