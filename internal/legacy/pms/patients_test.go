package pms_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRegisterPatient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pia, dan := w.signUp("Pia Rai"), w.doctor("Dan Lama")
	golden(t, "patient_none", w.yes("GET", "/patient/list", pia.token, ""))
	golden(t, "patient_register", w.yes("POST", "/patient/register/"+id(pia), dan.token, ""))
	require.Equal(t, "Already a registered patient",
		w.no("POST", "/patient/register/"+id(pia), w.admin.token, `{"id":1}`))
	require.Equal(t, "You cannot perform this action on yourself",
		w.no("POST", "/patient/register/"+id(dan), dan.token, ""))
	require.Equal(t, "Not a registered user", w.no("POST", "/patient/register/999999", w.admin.token, ""))
	w.no("POST", "/patient/register/"+id(dan), w.admin.token, "")
	require.Equal(t, 403, w.call("POST", "/patient/register/"+id(pia), pia.token, "").Status)
	for _, bad := range []string{"x", "1.5", "0x1", "9223372036854775808"} {
		require.Equal(t, 400, w.call("POST", "/patient/register/"+bad, w.admin.token, "").Status, bad)
	}
}

func TestRegisterPatient_OneWinner(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pia := w.signUp("Pia Rai")
	const workers = 8
	answers := make(chan answer, workers)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			a, err := w.send("POST", "/patient/register/"+id(pia), w.admin.token, "")
			if err != nil {
				a.Message = err.Error()
			}
			answers <- a
		})
	}
	wg.Wait()
	close(answers)
	won := 0
	for a := range answers {
		if a.Success {
			won++
			continue
		}
		require.Equal(t, "Already a registered patient", a.Message)
	}
	require.Equal(t, 1, won)
}

func TestListPatients(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pia, tom := w.registered("Pia Rai"), w.registered("Tom Rai")
	dan, eva := w.doctor("Dan Lama"), w.doctor("Eva Lama")
	w.yes("POST", "/patient/assignDoc", dan.token, `{"patientId":`+id(pia)+`}`)

	golden(t, "patients_admin", w.yes("GET", "/patient/list", w.admin.token, ""))
	mine := w.yes("GET", "/patient/list", dan.token, "").list(t)
	require.Len(t, mine, 1)
	require.EqualValues(t, pia.id, mine[0]["patientId"])
	require.Empty(t, w.yes("GET", "/patient/list", eva.token, "").list(t))
	golden(t, "patients_own", w.yes("GET", "/patient/list", pia.token, ""))
	require.EqualValues(t, tom.id, w.yes("GET", "/patient/list", tom.token, "").object(t)["patientId"])
}

func TestAssignDoc(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pia, dan, eva := w.registered("Pia Rai"), w.doctor("Dan Lama"), w.doctor("Eva Lama")
	nia := w.signUp("Nia Rai")
	patient := `"patientId":` + id(pia)
	golden(t, "assign_admin", w.yes("POST", "/patient/assignDoc", w.admin.token, `{`+patient+`,"docId":"`+id(eva)+`"}`))
	golden(t, "assign_doctor", w.yes("POST", "/patient/assignDoc", dan.token, `{`+patient+`}`))
	require.EqualValues(t, dan.id, w.yes("GET", "/patient/list", pia.token, "").object(t)["doctorId"])

	a := w.call("POST", "/patient/assignDoc", w.admin.token, `{}`)
	require.Equal(t, 400, a.Status)
	require.Equal(t, "patientId is required, docId is required", a.Message)
	require.Equal(t, "docId is not required",
		w.no("POST", "/patient/assignDoc", dan.token, `{`+patient+`,"docId":`+id(eva)+`}`))
	require.Equal(t, "Doctor not found",
		w.no("POST", "/patient/assignDoc", w.admin.token, `{`+patient+`,"docId":`+id(nia)+`}`))
	require.Equal(t, "Doctor not found",
		w.no("POST", "/patient/assignDoc", w.admin.token, `{`+patient+`,"docId":999999}`))
	require.Equal(t, "Patient not found", w.no("POST", "/patient/assignDoc", dan.token, `{"patientId":999999}`))
	w.no("POST", "/patient/assignDoc", dan.token, `{"patientId":`+id(nia)+`}`) // not registered
	require.Equal(t, 400, w.call("POST", "/patient/assignDoc", dan.token, `{}`).Status)
	require.Equal(t, 403, w.call("POST", "/patient/assignDoc", pia.token, `{`+patient+`}`).Status)
	w.exec(`update users set disabled_at = now() where id = $1`, eva.id)
	require.Equal(t, "Doctor not found",
		w.no("POST", "/patient/assignDoc", w.admin.token, `{`+patient+`,"docId":`+id(eva)+`}`))
}
