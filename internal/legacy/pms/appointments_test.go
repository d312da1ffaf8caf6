package pms_test

import (
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
)

// numbers returns the numbers of a doctor's free slots on a day.
func (w *world) numbers(by, d person, day string) (out []int) {
	w.t.Helper()
	a := w.yes("POST", "/appointment/availableSlot", by.token, `{"docId":`+id(d)+`,"date":"`+day+`"}`)
	list, _ := a.object(w.t)["slots"].([]any)
	for _, s := range list {
		n, _ := s.(map[string]any)["slotId"].(float64)
		out = append(out, int(n))
	}
	return out
}

func TestAvailableSlot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pia, dan := w.registered("Pia Rai"), w.doctor("Dan Lama")
	golden(t, "slots",
		w.yes("POST", "/appointment/availableSlot", pia.token, `{"docId":"`+id(dan)+`","date":"`+tomorrow+`"}`))
	w.booked(pia, dan, tomorrow, 3)
	free := w.numbers(pia, dan, tomorrow)
	require.Len(t, free, 14)
	require.NotContains(t, free, 3)

	// The query works, too; without a date it is today; doctors need not name themselves.
	a := w.yes("POST", "/appointment/availableSlot?docId="+id(dan), pia.token, "")
	require.Equal(t, today, a.object(t)["date"])
	require.Equal(t, a.Raw, w.yes("POST", "/appointment/availableSlot", dan.token, `{"docId":""}`).Raw)
	require.Len(t, a.object(t)["slots"], 15)
	require.Empty(t, w.numbers(pia, dan, "2026-03-01"), "yesterday")
	require.Empty(t, w.numbers(pia, dan, "2030-03-01"), "beyond what can be booked")

	require.Equal(t, "Doctor not found", w.no("POST", "/appointment/availableSlot", pia.token, `{"docId":`+id(pia)+`}`))
	for _, bad := range []string{
		`{}`, `{"docId":"x"}`, `{"docId":1,"date":"3 March"}`, `{"docId":1,"date":"2026-2-30"}`,
	} {
		require.Equal(t, 400, w.call("POST", "/appointment/availableSlot", pia.token, bad).Status, bad)
	}
}

// Slots follow the doctor's hours, not the clinic's grid.
func TestAvailableSlot_DoctorsHours(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pia, dan := w.registered("Pia Rai"), w.doctor("Dan Lama")
	w.exec(
		`insert into schedules (doctor_id, time_zone, slot_minutes, custom_hours, version) values ($1, $2, 45, true, 2)`,
		dan.id, zoneName)
	for weekday := 1; weekday <= 7; weekday++ { // 10:15, 11:00, 11:45 … 14:45, 15:30
		w.exec(`insert into schedule_hours (doctor_id, weekday, starts, ends) values ($1, $2, 615, 975)`, dan.id, weekday)
	}
	require.Equal(t, []int{3, 6, 11}, w.numbers(pia, dan, tomorrow), "11:00, 12:30 and 15:30")
	require.Equal(t, "Appointment slot not available",
		w.no("POST", "/appointment/book", pia.token, `{"docId":`+id(dan)+`,"date":"`+tomorrow+`","slotId":1}`))
}

func TestBook(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pia, tom, dan := w.registered("Pia Rai"), w.registered("Tom Rai"), w.doctor("Dan Lama")
	golden(t, "booked", w.yes("POST", "/appointment/book", pia.token,
		`{"docId":`+id(dan)+`,"date":"`+tomorrow+`","slotId":"9","patientId":`+id(pia)+`}`))
	require.Equal(
		t, 1,
		w.count(`select count(*) from appointments where status = 'BOOKED' and patient_id = $1 and doctor_id = $2
		and starts_at = '2026-03-03T14:30:00+05:45'`, pia.id, dan.id),
	)

	// The slot is taken now. Its patient cannot book a second one at the same time, either.
	require.Equal(t, "Appointment slot not available",
		w.no("POST", "/appointment/book", tom.token, `{"docId":`+id(dan)+`,"date":"`+tomorrow+`","slotId":9}`))
	eva := w.doctor("Eva Lama")
	w.no("POST", "/appointment/book", pia.token, `{"docId":`+id(eva)+`,"date":"`+tomorrow+`","slotId":9}`)

	// Without a slot it is the first free one, without a doctor the assigned one; with the other name of the date.
	w.booked(tom, dan, tomorrow, 1)
	require.Equal(t, "docId is required",
		w.no("POST", "/appointment/book", pia.token, `{"dateOfAppointment":"`+tomorrow+`"}`))
	w.yes("POST", "/patient/assignDoc", dan.token, `{"patientId":`+id(pia)+`}`)
	first := w.yes("POST", "/appointment/book", pia.token, `{"dateOfAppointment":"`+tomorrow+`"}`).object(t)
	require.EqualValues(t, 2, first["slotId"])
	require.Equal(t, "10:30 am", first["Booked Slot"])

	again := w.yes("POST", "/appointment/book", pia.token, `{"dateOfAppointment":"`+tomorrow+`"}`).object(t)
	require.EqualValues(t, 2, again["slotId"], "pressed twice")

	// Doctors book their patients with themselves, administrators anyone.
	require.EqualValues(t, 3,
		w.yes("POST", "/appointment/book", dan.token, `{"patientId":`+id(pia)+`,"date":"`+tomorrow+`"}`).object(t)["slotId"])
	require.EqualValues(t, dan.id, w.yes("POST", "/appointment/book", w.admin.token,
		`{"patientId":`+id(pia)+`,"date":"`+tomorrow+`","slotId":4}`).object(t)["docId"], "the assigned doctor")
	form := "patientId=" + id(tom) + "&docId=" + id(eva) + "&date=" + tomorrow + "&slotId=5"
	w.yes("POST", "/appointment/book", w.admin.token, form, "Content-Type", "application/x-www-form-urlencoded")
}

func TestBook_Refused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pia, dan, eva := w.registered("Pia Rai"), w.doctor("Dan Lama"), w.doctor("Eva Lama")
	nia := w.signUp("Nia Rai") // in the registry only once she books
	with := func(fields string) string { return `{"date":"` + tomorrow + `","slotId":1,` + fields + `}` }
	doc := `"docId":` + id(dan)
	require.Contains(t, w.no("POST", "/appointment/book", w.admin.token, with(doc+`,"patientId":`+id(nia))),
		"register as a patient first")
	require.Contains(t, w.no("POST", "/appointment/book", w.admin.token,
		`{"date":"2030-03-01",`+doc+`,"patientId":`+id(nia)+`}`), "register as a patient first", "also when no slot is free")
	require.Equal(t, "You can book for yourself only",
		w.no("POST", "/appointment/book", pia.token, with(doc+`,"patientId":`+id(nia))))
	require.Equal(t, "patientId is required", w.no("POST", "/appointment/book", w.admin.token, with(doc)))
	require.Equal(t, "Patient not found",
		w.no("POST", "/appointment/book", w.admin.token, with(doc+`,"patientId":999999`)))
	require.Equal(t, "Doctor not found", w.no("POST", "/appointment/book", pia.token, with(`"docId":`+id(nia))))
	require.Equal(t, "docId is required", w.no("POST", "/appointment/book", nia.token, `{"date":"`+tomorrow+`"}`))
	w.no("POST", "/appointment/book", dan.token, with(`"patientId":`+id(pia)))                     // not their patient
	w.no("POST", "/appointment/book", dan.token, with(`"docId":`+id(eva)+`,"patientId":`+id(pia))) // not with themselves
	require.Equal(t, "Invalid date",
		w.no("POST", "/appointment/book", pia.token, `{"date":"2026-03-01","slotId":1,`+doc+`}`))
	require.Equal(t, "Appointment slot not available",
		w.no("POST", "/appointment/book", pia.token, `{"date":"2030-03-01","slotId":1,`+doc+`}`))
	require.Equal(t, "Appointment slot not available",
		w.no("POST", "/appointment/book", pia.token, `{"date":"2030-03-01",`+doc+`}`))
	for _, bad := range []string{
		`{` + doc + `}`, with(`"slotId":16`), with(`"slotId":0`), with(`"slotId":"x"`), with(`"docId":true`),
		`{"date":20260303,` + doc + `}`, `{"date":"2026-3-3",` + doc + `}`,
	} {
		a := w.call("POST", "/appointment/book", pia.token, bad)
		require.Equal(t, 400, a.Status, "%s: %s", bad, a.Raw)
		require.False(t, a.Success)
	}
	require.Zero(t, w.count(`select count(*) from appointments`))
	require.Zero(t, w.count(`select count(*) from patients where user_id = $1`, nia.id), "she has booked nothing")
}

// Users who signed up get their registry entry with their first booking, however many times they press the button.
func TestBook_First(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	nia, dan := w.signUp("Nia Rai"), w.doctor("Dan Lama")
	const workers = 6
	answers := make(chan answer, workers)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			a, err := w.send("POST", "/appointment/book", nia.token, `{"docId":`+id(dan)+`,"date":"`+tomorrow+`","slotId":1}`)
			if err != nil {
				a.Message = err.Error()
			}
			answers <- a
		})
	}
	wg.Wait()
	close(answers)
	for a := range answers {
		require.True(t, a.Success, a.Message)
	}
	require.Equal(t, 1, w.count(`select count(*) from appointments`))
	require.Equal(t, "Lane 1, Kathmandu", w.yes("GET", "/patient/list", nia.token, "").object(t)["address"])
	entry := w.yes("GET", "/patient/list", dan.token, "").list(t)
	require.Len(t, entry, 1, "the doctor's own patient")
	require.EqualValues(t, nia.id, entry[0]["createdBy"])
	require.Equal(t, 1, w.count(`select count(*) from audit_events where action = 'patient.register'`))
	require.Equal(t, "Already a registered patient", w.no("POST", "/patient/register/"+id(nia), w.admin.token, ""))
}

// What the old server answered as a refusal is none of the client's faults: 200, and words that are true.
func TestRefusals_numbersAndDays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pia, dan := w.registered("Pia Rai"), w.doctor("Dan Lama")
	const missing, on = "There is no such appointment.", `,"date":"` + tomorrow + `"}`
	for _, c := range []struct {
		method, path string
		by           person
		body, want   string
	}{
		{"PUT", "/user/updateRole", w.admin, `{"id":0,"role":2}`, "User not found !"},
		{"PUT", "/user/updateRole", w.admin, `{"id":"-1","role":2}`, "User not found !"},
		{"POST", "/patient/register/0", dan, ``, "Not a registered user"},
		{"POST", "/patient/register/-1", dan, ``, "Not a registered user"},
		{"POST", "/patient/assignDoc", dan, `{"patientId":0}`, "Patient not found"},
		{"POST", "/patient/assignDoc", dan, `{"patientId":` + id(pia) + `,"docId":0}`, "docId is not required"},
		{"POST", "/patient/assignDoc", w.admin, `{"patientId":` + id(pia) + `}`, "docId is required"},
		{"POST", "/patient/assignDoc", w.admin, `{"patientId":` + id(pia) + `,"docId":-1}`, "Doctor not found"},
		{"POST", "/appointment/availableSlot", dan, `{"docId":0}`, "Doctor not found"},
		{"POST", "/appointment/availableSlot", pia, `{"docId":1,"date":"2026-13-45"}`, "date must be a day that exists"},
		{"POST", "/appointment/book", pia, `{"docId":0` + on, "Doctor not found"},
		{"POST", "/appointment/book", pia, `{"patientId":-1,"docId":` + id(dan) + on, "You can book for yourself only"},
		{"POST", "/appointment/book", w.admin, `{"patientId":0,"docId":` + id(dan) + on, "Patient not found"},
		{"POST", "/appointment/book", pia, `{"dateOfAppointment":"2026-02-30"}`, "dateOfAppointment must be a day that exists"},
		{"PUT", "/appointment/edit", pia, `{"appointmentId":0,"slotId":1}`, missing},
		{"PUT", "/appointment/edit", pia, `{"appointmentId":1,"date":"9999-99-99"}`, "date must be a day that exists"},
		{"DELETE", "/appointment/cancel", pia, `{"appointmentId":-1,"reason":"cannot come"}`, missing},
	} {
		require.Equal(t, c.want, w.no(c.method, c.path, c.by.token, c.body), "%s %s", c.path, c.body)
	}
	a := w.call("PUT", "/appointment/edit", pia.token, `{"appointmentId":"x","date":"2026-02-30","slotId":16}`)
	require.Equal(t, 400, a.Status)
	require.Equal(t, "appointmentId must be a whole number of at most 18 digits, slotId must be a number from 1 to 15, "+
		"date must be a day that exists", a.Message, "all at once")
}

// Many want a certain slot, or the first free one: no slot is given twice, and all of the latter get one.
func TestBook_OneWinner(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dan := w.doctor("Dan Lama")
	const workers = 6
	var people []person
	for i := range workers {
		people = append(people, w.registered("Pia "+string(rune('A'+i))))
	}
	race := func(body string) (won, lost int) {
		answers := make(chan answer, workers)
		var wg sync.WaitGroup
		for _, p := range people {
			wg.Go(func() {
				a, err := w.send("POST", "/appointment/book", p.token, body)
				if err != nil {
					a.Message = err.Error()
				}
				answers <- a
			})
		}
		wg.Wait()
		close(answers)
		for a := range answers {
			if a.Success {
				won++
				continue
			}
			require.Equal(t, "Appointment slot not available", a.Message)
			lost++
		}
		return won, lost
	}
	won, lost := race(`{"docId":` + id(dan) + `,"date":"` + tomorrow + `","slotId":1}`)
	require.Equal(t, 1, won)
	require.Equal(t, workers-1, lost)
	won, _ = race(`{"docId":` + id(dan) + `,"date":"` + tomorrow + `"}`)
	require.Equal(t, workers, won)
	require.Equal(t, workers+1, w.count(`select count(distinct starts_at) from appointments`))
}

func TestListAppointments(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pia, tom, dan, eva := w.registered("Pia Rai"), w.registered("Tom Rai"), w.doctor("Dan Lama"), w.doctor("Eva Lama")
	one, two := w.booked(pia, dan, tomorrow, 1), w.booked(tom, dan, tomorrow, 2)
	gone := w.booked(pia, eva, tomorrow, 5)
	w.yes("DELETE", "/appointment/cancel", pia.token, `{"appointmentId":`+gone+`,"reason":"cannot come"}`)
	// Made elsewhere: off the grid of slots, and without a time.
	at := time.Date(2026, time.March, 4, 16, 10, 0, 0, w.zone)
	w.exec(
		`insert into appointments (public_id, patient_id, doctor_id, status, starts_at, ends_at) values ('APP0000000001', $1, $2, 'BOOKED', $3, $4)`,
		pia.id, eva.id, at, at.Add(time.Hour),
	)
	w.exec(
		`insert into appointments (public_id, patient_id, doctor_id, status) values ('APP0000000002', $1, $2, 'PENDING')`,
		pia.id, eva.id)

	golden(t, "appointments_patient", w.yes("GET", "/appointment/list", pia.token, ""))
	ids := func(p person) (out []string) {
		for _, a := range w.yes("GET", "/appointment/list", p.token, "").list(t) {
			out = append(out, strconv.Itoa(int(a["id"].(float64))))
		}
		return out
	}
	require.Equal(t, []string{two, one}, ids(dan))
	require.Equal(t, []string{two}, ids(tom))
	require.Len(t, ids(eva), 2)
	require.Len(t, ids(w.admin), 4, "all but the cancelled one")
}

func TestEdit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pia, tom, dan := w.registered("Pia Rai"), w.registered("Tom Rai"), w.doctor("Dan Lama")
	eva := w.doctor("Eva Lama")
	n := w.booked(pia, dan, "2026-03-05", 3)
	w.booked(tom, dan, "2026-03-06", 4)
	edit := func(fields string) string { return `{"appointmentId":"` + n + `",` + fields + `}` }
	moved := func(by person, fields, day, slot string) {
		t.Helper()
		a := w.yes("PUT", "/appointment/edit", by.token, edit(fields)).object(t)
		require.Equal(t, []any{day, slot}, []any{a["date"], a["slot"]})
	}
	golden(t, "edited", w.yes("PUT", "/appointment/edit", pia.token, edit(`"date":"2026-03-06","slotId":5`)))
	moved(pia, `"slotId":"6"`, "2026-03-06", "12:30 pm")
	moved(pia, `"date":"2026-03-07"`, "2026-03-07", "12:30 pm")
	moved(pia, `"date":"2026-03-07","slotId":6`, "2026-03-07", "12:30 pm")
	moved(dan, `"slotId":7`, "2026-03-07", "01:00 pm")
	moved(w.admin, `"dateOfAppointment":"2026-03-06"`, "2026-03-06", "01:00 pm")

	require.Equal(t, 2, w.count(`select count(*) from appointments where status = 'BOOKED'`),
		"nobody could confirm it here")
	require.Equal(t, "Appointment slot not available", w.no("PUT", "/appointment/edit", pia.token, edit(`"slotId":4`)))
	for _, stranger := range []person{tom, eva} {
		require.Equal(t, "There is no such appointment.",
			w.no("PUT", "/appointment/edit", stranger.token, edit(`"slotId":8`)))
	}
	require.Equal(t, "There is no such appointment.",
		w.no("PUT", "/appointment/edit", w.admin.token, `{"appointmentId":999999,"slotId":1}`))
	for _, bad := range []string{
		`{"slotId":1}`, `{"appointmentId":` + n + `}`, edit(`"slotId":16`), edit(`"date":"tomorrow"`),
	} {
		require.Equal(t, 400, w.call("PUT", "/appointment/edit", pia.token, bad).Status, bad)
	}
	w.yes("DELETE", "/appointment/cancel", dan.token, `{"appointmentId":`+n+`,"reason":"away"}`)
	w.no("PUT", "/appointment/edit", pia.token, edit(`"slotId":8`))
	w.no("PUT", "/appointment/edit", pia.token, edit(`"slotId":7`)) // where it is already
}

// An appointment off the grid can change only its day; a request without a time needs both.
func TestEdit_FromElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pia, dan := w.registered("Pia Rai"), w.doctor("Dan Lama")
	starts := time.Date(2026, time.March, 5, 16, 10, 0, 0, w.zone)
	a, err := w.appointments.Book(t.Context(), w.actor(pia), appointment.Booking{Doctor: dan.userID, Reason: "Cough"})
	require.NoError(t, err)
	_, err = w.appointments.Confirm(t.Context(), w.actor(dan), a.PublicID, appointment.Confirmation{StartsAt: &starts})
	require.NoError(t, err)
	n := strconv.FormatInt(a.ID, 10)
	got := w.yes("PUT", "/appointment/edit", dan.token, `{"appointmentId":`+n+`,"date":"2026-03-06"}`).object(t)
	require.Nil(t, got["slotId"])
	require.Equal(t, []any{"2026-03-06", "16:10"}, []any{got["date"], got["time"]})

	a, err = w.appointments.Book(t.Context(), w.actor(pia), appointment.Booking{Doctor: dan.userID})
	require.NoError(t, err)
	n = strconv.FormatInt(a.ID, 10)
	require.Equal(t, "slotId is required",
		w.no("PUT", "/appointment/edit", dan.token, `{"appointmentId":`+n+`,"date":"2026-03-06"}`))
	require.Equal(t, "date is required",
		w.no("PUT", "/appointment/edit", dan.token, `{"appointmentId":`+n+`,"slotId":1}`))
}

func TestCancel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pia, tom, dan := w.registered("Pia Rai"), w.registered("Tom Rai"), w.doctor("Dan Lama")
	n := w.booked(pia, dan, "2026-03-05", 3)
	body := `{"appointmentId":` + n + `,"reason":"cannot come"}`
	require.Equal(t, "There is no such appointment.", w.no("DELETE", "/appointment/cancel", tom.token, body))
	for _, bad := range []string{
		`{}`, `{"appointmentId":` + n + `}`, `{"appointmentId":` + n + `,"reason":"x"}`, `{"reason":"cannot come"}`,
		`{"appointmentId":` + n + `,"reason":"` + strings.Repeat("x", 201) + `"}`,
	} {
		require.Equal(t, 400, w.call("DELETE", "/appointment/cancel", pia.token, bad).Status, bad)
	}
	golden(t, "cancelled", w.yes("DELETE", "/appointment/cancel", pia.token, body))
	require.Equal(t, 1,
		w.count(`select count(*) from appointments where status = 'CANCELLED' and end_reason = 'cannot come'`))
	w.no("DELETE", "/appointment/cancel", pia.token, body)
	require.Contains(t, w.numbers(tom, dan, "2026-03-05"), 3, "the slot is free again")
	// The query works, too.
	n = w.booked(pia, dan, "2026-03-05", 3)
	w.yes("DELETE", "/appointment/cancel?appointmentId="+n+"&reason=cannot%20come", dan.token, "")
}
