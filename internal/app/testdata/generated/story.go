// Command generated plays the main story with a client that is generated from /openapi.json: nothing in it comes from
// Housecall's code. TestApp_MainJob generates package api beside it, and runs it as
//
//	generated URL DOCTOR PASSWORD
//
// with the address of an instance, and the user id and the password of a doctor. The new patient gets the same
// password. It exits with status 1 and says why if anything is not as described.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/google/uuid"
	openapi "github.com/oapi-codegen/runtime/types"

	"generated/api"
)

const text = "It hurts only when I laugh."

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := play(ctx, os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func play(ctx context.Context, url, doctorID, password string) error {
	anyone, err := api.NewClientWithResponses(url)
	if err != nil {
		return err
	}
	email := "generated@private.test"
	registered, err := anyone.PostAuthRegisterWithResponse(ctx,
		api.PostAuthRegisterJSONRequestBody{Name: "Gena Rated", Email: email, Password: password})
	if err != nil || registered.JSON201 == nil {
		return failed("register", err, registered)
	}
	patient, err := signIn(ctx, url, email, password)
	if err != nil {
		return err
	}
	doctor, err := signIn(ctx, url, doctorID, password)
	if err != nil {
		return err
	}
	nobody, err := patient.GetDoctorsIdWithResponse(ctx, "DOC0000000000")
	if err != nil || nobody.ApplicationproblemJSON404 == nil || nobody.ApplicationproblemJSON404.Code != "not_found" {
		return failed("be told that there is no such doctor", err, nobody)
	}
	id, err := book(ctx, patient, doctor, doctorID)
	if err != nil {
		return err
	}
	return chat(ctx, patient, doctor, id, registered.JSON201.UserId)
}

// signIn returns a client that is signed in.
func signIn(ctx context.Context, url, login, password string) (*api.ClientWithResponses, error) {
	anyone, err := api.NewClientWithResponses(url)
	if err != nil {
		return nil, err
	}
	in, err := anyone.PostAuthLoginWithResponse(ctx, api.PostAuthLoginJSONRequestBody{Login: login, Password: password})
	if err != nil || in.JSON200 == nil {
		return nil, failed("sign in", err, in)
	}
	return api.NewClientWithResponses(url, api.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+in.JSON200.AccessToken)
		return nil
	}))
}

// book books the first slot of the day after tomorrow and confirms it, and returns the appointment's id.
func book(ctx context.Context, patient, doctor *api.ClientWithResponses, doctorID string) (string, error) {
	day := time.Now().UTC().AddDate(0, 0, 2).Format(time.DateOnly)
	slots, err := patient.GetDoctorsIdSlotsWithResponse(ctx, doctorID, &api.GetDoctorsIdSlotsParams{From: &day, To: &day})
	if err != nil || slots.JSON200 == nil || len(slots.JSON200.Items) == 0 {
		return "", failed("list slots", err, slots)
	}
	key := uuid.NewString()
	booked, err := patient.PostAppointmentsWithResponse(ctx, &api.PostAppointmentsParams{IdempotencyKey: &key},
		api.PostAppointmentsJSONRequestBody{
			DoctorId: &doctorID, StartsAt: &slots.JSON200.Items[0].StartsAt, Reason: "A pain",
		})
	if err != nil || booked.JSON201 == nil {
		return "", failed("book", err, booked)
	}
	id := booked.JSON201.Id
	confirmed, err := doctor.PostAppointmentsIdConfirmWithResponse(ctx, id, &api.PostAppointmentsIdConfirmParams{},
		api.PostAppointmentsIdConfirmJSONRequestBody{})
	if err != nil || confirmed.JSON200 == nil || confirmed.JSON200.Status != "BOOKED" {
		return "", failed("confirm", err, confirmed)
	}
	return id, nil
}

// chat sends a message, which the doctor finds unread, and reads.
func chat(ctx context.Context, patient, doctor *api.ClientWithResponses, id, sender string) error {
	words := text
	message := api.PostAppointmentsIdMessagesJSONRequestBody{ClientId: openapi.UUID(uuid.New()), Text: &words}
	sent, err := patient.PostAppointmentsIdMessagesWithResponse(ctx, id, message)
	if err != nil || sent.JSON201 == nil || sent.JSON201.ClientId != message.ClientId {
		return failed("send", err, sent)
	}
	unread, err := doctor.GetMeUnreadWithResponse(ctx, &api.GetMeUnreadParams{})
	if err != nil || unread.JSON200 == nil || unreadIn(unread.JSON200.Items, id) != 1 {
		return failed("see what is unread", err, unread)
	}
	history, err := doctor.GetAppointmentsIdMessagesWithResponse(ctx, id, &api.GetAppointmentsIdMessagesParams{})
	if err != nil || history.JSON200 == nil {
		return failed("read", err, history)
	}
	last := history.JSON200.Items[len(history.JSON200.Items)-1]
	if last.Seq != sent.JSON201.Seq || last.Text == nil || *last.Text != text || last.Sender == nil ||
		*last.Sender != sender {
		return failed("read the message", nil, history)
	}
	read, err := doctor.PutAppointmentsIdReceiptsWithResponse(ctx, id,
		api.PutAppointmentsIdReceiptsJSONRequestBody{ReadSeq: &last.Seq})
	if err != nil || read.StatusCode() >= http.StatusBadRequest {
		return failed("say that it is read", err, read)
	}
	unread, err = doctor.GetMeUnreadWithResponse(ctx, &api.GetMeUnreadParams{})
	if err != nil || unread.JSON200 == nil || unreadIn(unread.JSON200.Items, id) != 0 {
		return failed("see that nothing is unread", err, unread)
	}
	return nil
}

func unreadIn(items []api.ChatUnreadItem, id string) int64 {
	for _, item := range items {
		if item.AppointmentId == id {
			return item.Unread
		}
	}
	return 0
}

// failed says which step of the story failed, and what was answered.
func failed(step string, err error, answer interface{ GetBody() []byte }) error {
	if err != nil {
		return fmt.Errorf("%s: %w", step, err)
	}
	return errors.New(step + ": " + string(answer.GetBody()))
}
