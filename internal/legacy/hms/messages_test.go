package hms_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func send(appointmentID, receiver, text string) string {
	return fmt.Sprintf(`{"appointmentId":%q,"receiverId":%q,"message":%q}`, appointmentID, receiver, text)
}

func TestRoutes_messages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := w.admin()
	doctor, stranger := w.doctor(admin, "Dr Cara Lim"), w.doctor(admin, "Dr Dan Roth")
	patient, other := w.patient("Pia Patient"), w.patient("Ben Okoro")
	id := w.request(patient, doctor)
	const path = "/api/auth/sendMessage"
	w.refused(w.call(patient.token, "POST", path, send(id, doctor.userID, "Too early")), 403,
		"This conversation is closed to new messages")
	w.ok(doctor.token, "PUT", "/api/doctor/appointments/approve/"+id,
		fmt.Sprintf(`{"date":%q,"time":"10:30"}`, tomorrow(t)))
	require.Empty(t, w.ok(patient.token, "GET", "/api/auth/getMessages/"+id, "").list("chat"), "only what people wrote")

	golden(t, "sent", w.ok(patient.token, "POST", path, send(id, doctor.userID, "Hello <b>doctor</b>, it's me")))
	w.ok(doctor.token, "POST", path, send(id, patient.userID, "Good day"))
	w.ok(patient.token, "POST", path, send(id, doctor.userID, "Good day"))
	golden(t, "messages", w.ok(doctor.token, "GET", "/api/auth/getMessages/"+id, ""))
	require.Equal(t, w.ok(doctor.token, "GET", "/api/auth/getMessages/"+id, "").Raw,
		w.ok(patient.token, "GET", "/api/auth/getMessages/"+id, "").Raw)

	w.eventually(func() bool { // what the pages fetch counts as read
		return w.count(
			`select count(*) from receipts r join conversations c on c.id = r.room_id where r.read_seq = c.head_seq`,
		) == 2
	})
	for name, c := range map[string]struct {
		token, body string
		status      int
		says        string
	}{
		"to oneself":  {patient.token, send(id, patient.userID, "x"), 400, "receiverId must be the other participant"},
		"to another":  {patient.token, send(id, stranger.userID, "x"), 400, "receiverId must be the other participant"},
		"blank":       {patient.token, send(id, doctor.userID, " \n"), 400, "message is required."},
		"looks empty": {patient.token, send(id, doctor.userID, "\u200d"), 400, "A message needs text."},
		"too long": {
			patient.token, send(id, doctor.userID, strings.Repeat("x", 4001)), 400, "A message can have at most 4,000 characters.",
		},
		"NUL": {
			patient.token, `{"appointmentId":"` + id + `","receiverId":"` + doctor.userID + `","message":"a\u0000"}`, 400,
			"message must not contain",
		},
		"nothing": {
			patient.token, `{}`, 400, "appointmentId is required. receiverId is required. message is required.",
		},
		"another patient":  {other.token, send(id, doctor.userID, "x"), 404, "There is no such appointment."},
		"another doctor":   {stranger.token, send(id, patient.userID, "x"), 404, "There is no such appointment."},
		"an administrator": {admin.token, send(id, patient.userID, "x"), 404, "There is no such appointment."},
		"no appointment":   {patient.token, send("APP0000000000", doctor.userID, "x"), 404, "There is no such appointment."},
	} {
		r := w.call(c.token, "POST", path, c.body)
		require.Equal(t, c.status, r.Status, "%s: %s", name, r.Raw)
		w.refused(r, c.status, c.says)
	}
	for _, token := range []string{other.token, stranger.token, admin.token} {
		w.refused(w.call(token, "GET", "/api/auth/getMessages/"+id, ""), 404, "There is no such appointment.")
	}
	native := w.call("", "POST", "/api/v1/auth/login", fmt.Sprintf(`{"login":%q,"password":%q}`, patient.email, password))
	events := w.call("", "GET", "/api/v1/appointments/"+id+"/messages", "", "Authorization",
		"Bearer "+native.Text("accessToken"))
	last := events.list("items")[len(events.list("items"))-1]
	require.Equal(t, "Good day", last["text"], "it is the same conversation")
	require.Equal(t, patient.userID, last["sender"])
	for _, secret := range []string{"Good day", "it's me"} {
		require.NotContains(t, w.log.String(), secret)
	}

	w.exec(`update appointments set status = 'CANCELLED' where public_id = $1`, id)
	w.refused(w.call(patient.token, "POST", path, send(id, doctor.userID, "Too late")), 403,
		"This conversation is closed to new messages")
	require.Len(t, w.ok(patient.token, "GET", "/api/auth/getMessages/"+id, "").list("chat"), 3, "it stays readable")
}

// The older pages see messages in their current form: corrected, without retracted ones, and files as their names.
func TestRoutes_editedMessages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := w.admin()
	doctor, patient := w.doctor(admin, "Dr Cara Lim"), w.patient("Pia Patient")
	id := w.booked(patient, doctor, "10:30")
	for _, text := range []string{"It hurts here", "Private, sorry"} {
		w.ok(patient.token, "POST", "/api/auth/sendMessage", send(id, doctor.userID, text))
	}
	file := uuid.NewString()
	w.exec(`insert into attachments (id, room_id, uploader_id, name, media_type, size_bytes, sha256, stored_at)
		select $1, a.id, a.patient_id, 'knee "left".pdf', 'application/pdf', 5, decode(repeat('0f', 32), 'hex'), now()
		from appointments a where public_id = $2`, file, id)
	token := w.call("", "POST", "/api/v1/auth/login",
		fmt.Sprintf(`{"login":%q,"password":%q}`, patient.email, password)).Text("accessToken")
	first := w.count(
		`select min(m.seq) from messages m join appointments a on a.id = m.room_id where a.public_id = $1 and m.kind = 'text'`,
		id,
	)
	for path, body := range map[string]string{
		"":                                  `"attachmentId":"` + file + `"`,
		fmt.Sprintf("/%d/correct", first):   `"text":"It hurts there"`,
		fmt.Sprintf("/%d/retract", first+1): ``,
	} {
		r := w.call("", "POST", "/api/v1/appointments/"+id+"/messages"+path,
			strings.ReplaceAll(`{"clientId":"`+uuid.NewString()+`",`+body+`}`, ",}", "}"), "Authorization", "Bearer "+token)
		require.Equal(t, 201, r.Status, "%s", r.Raw)
	}
	messages := w.ok(doctor.token, "GET", "/api/auth/getMessages/"+id, "").list("chat")
	require.Len(t, messages, 2)
	require.Equal(t, "It hurts there", messages[0]["message"])
	require.Equal(t, `[file: knee "left".pdf]`, messages[1]["message"])
	require.Equal(t, doctor.userID, messages[1]["receiverId"])
}

func TestRoutes_longConversation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := w.admin()
	doctor, patient := w.doctor(admin, "Dr Cara Lim"), w.patient("Pia Patient")
	id := w.booked(patient, doctor, "10:30")
	conversation := w.count(`select id from appointments where public_id = $1`, id)
	head := w.count(`select head_seq from conversations where id = $1`, conversation)
	w.exec(`insert into messages (room_id, seq, at, kind, sender_id, client_id, body)
		select $1, $2 + n, now(), 'text', (select id from users where public_id = $3), gen_random_uuid(), 'Message ' || n from generate_series(1, 450) n`,
		conversation, head, patient.userID)
	w.exec(`update conversations set head_seq = $2 where id = $1`, conversation, head+450)
	chat := w.ok(doctor.token, "GET", "/api/auth/getMessages/"+id, "").list("chat")
	require.Len(t, chat, 450)
	require.Equal(t, "Message 1", chat[0]["message"])
	require.Equal(t, "Message 450", chat[449]["message"])
	require.Equal(t, doctor.userID, chat[0]["receiverId"])

	w.exec(`insert into messages (room_id, seq, at, kind, sender_id, client_id, body)
		select $1, $2 + n, now(), 'text', (select id from users where public_id = $3), gen_random_uuid(), 'Message ' || n from generate_series(451, 1300) n`,
		conversation, head, patient.userID)
	w.exec(`update conversations set head_seq = $2 where id = $1`, conversation, head+1300)
	chat = w.ok(doctor.token, "GET", "/api/auth/getMessages/"+id, "").list("chat")
	require.Len(t, chat, 1000, "the newest")
	require.Equal(t, "Message 301", chat[0]["message"])
	require.Equal(t, "Message 1300", chat[999]["message"])
}
