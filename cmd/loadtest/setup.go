package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"housecall/internal/client"
)

// site holds the users and conversations of a run.
type site struct {
	http          *http.Client
	tag           string // part of all names and passwords of this run
	patients      []*account
	doctors       []*account
	conversations []chat
}

// account is one signed-in user.
type account struct {
	api *client.API
	// booking lets a patient have only one open request at a time, since their number is limited.
	booking sync.Mutex
}

// chat is one confirmed appointment.
type chat struct {
	id              string
	patient, doctor *account
}

func (s *site) close() { s.http.CloseIdleConnections() }

// password returns the password of this run's accounts; nobody else knows their addresses.
func (s *site) password() string { return "load-" + s.tag + "-Password" }

func (s *site) email(name string) string { return name + "-" + s.tag + "@load.test" }

// prepare makes the users and books the conversations. Conversation i belongs to the i-th pair of doctor and patient;
// each round of pairs gets the next free slot, so that nobody is in two places at once.
func prepare(ctx context.Context, p *plan) (*site, error) {
	began := time.Now()
	var raw [4]byte
	_, _ = rand.Read(raw[:]) // never fails
	s := &site{http: client.NewHTTPClient(64), tag: hex.EncodeToString(raw[:])}
	if err := s.makeUsers(ctx, p); err != nil {
		return nil, explain("make users", err)
	}
	slots, err := s.freeSlots(ctx, (p.conversations+p.doctors-1)/p.doctors)
	if err != nil {
		return nil, explain("find free slots", err)
	}
	s.conversations = make([]chat, p.conversations)
	var booked atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(p.parallel)
	for i := range s.conversations {
		group.Go(func() error {
			r, err := book(ctx, s.patients[i%p.patients], s.doctors[i%p.doctors], slots[i/p.doctors])
			if err != nil {
				return err
			}
			s.conversations[i] = r
			if n := booked.Add(1); n%50 == 0 {
				fmt.Fprintf(p.progress, "booked %d of %d appointments\n", n, p.conversations)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, explain("book appointments", err)
	}
	fmt.Fprintf(p.progress, "%d conversations of %d doctors and %d patients are ready after %.1f s\n",
		p.conversations, p.doctors, p.patients, time.Since(began).Seconds())
	return s, nil
}

func (s *site) makeUsers(ctx context.Context, p *plan) error {
	admin, err := s.api(p.servers[0])
	if err != nil {
		return err
	}
	if _, err := admin.Login(ctx, p.admin, p.password); err != nil {
		return fmt.Errorf("sign in as %s: %w", p.admin, err)
	}
	s.doctors, s.patients = make([]*account, p.doctors), make([]*account, p.patients)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(p.parallel)
	for i := range s.doctors {
		group.Go(func() (err error) {
			s.doctors[i], err = s.makeDoctor(ctx, p, admin, fmt.Sprintf("doctor%d", i))
			return err
		})
	}
	for i := range s.patients {
		group.Go(func() (err error) {
			s.patients[i], err = s.makePatient(ctx, p, fmt.Sprintf("patient%d", i))
			return err
		})
	}
	return group.Wait()
}

func (s *site) makeDoctor(ctx context.Context, p *plan, admin *client.API, name string) (*account, error) {
	email := s.email(name)
	invited := client.NewDoctor{Name: "Load Doctor", Email: email, Specialization: "Load testing"}
	token, err := admin.InviteDoctor(ctx, invited)
	if err != nil {
		return nil, err
	}
	api, err := s.api(p.servers[len(p.servers)-1])
	if err != nil {
		return nil, err
	}
	if err := api.AcceptInvitation(ctx, token, s.password()); err != nil {
		return nil, err
	}
	_, err = api.Login(ctx, email, s.password())
	return &account{api: api}, err
}

func (s *site) makePatient(ctx context.Context, p *plan, name string) (*account, error) {
	email := s.email(name)
	api, err := s.api(p.servers[0])
	if err != nil {
		return nil, err
	}
	if _, err := api.Register(ctx, "Load Patient", email, s.password()); err != nil {
		return nil, err
	}
	_, err = api.Login(ctx, email, s.password())
	return &account{api: api}, err
}

func (s *site) api(server string) (*client.API, error) {
	return client.New(server, client.WithHTTPClient(s.http), client.WithUserAgent("housecall-loadtest"))
}

const (
	slotWindow  = 14 * 24 * time.Hour // how much is asked for at a time
	slotHorizon = 80 * 24 * time.Hour
	slotMargin  = 2 * time.Hour // so that no slot passes before its conversation is booked
)

// freeSlots returns as many slots as there are rounds of bookings. All doctors are new and alike, so the first one's
// free slots are everybody's.
func (s *site) freeSlots(ctx context.Context, need int) ([]client.Slot, error) {
	doctor := s.doctors[0].api
	now := time.Now()
	var found []client.Slot
	for from := now; from.Before(now.Add(slotHorizon)) && len(found) < need; from = from.Add(slotWindow) {
		slots, err := doctor.Slots(ctx, doctor.User().UserID, from, from.Add(slotWindow-24*time.Hour))
		if err != nil {
			return nil, err
		}
		for _, slot := range slots {
			if slot.StartsAt.After(now.Add(slotMargin)) {
				found = append(found, slot)
			}
		}
	}
	if len(found) < need {
		return nil, fmt.Errorf("each doctor has %d free slots, but %d are needed: use more --doctors and --patients",
			len(found), need)
	}
	return found, nil
}

// book makes a conversation: the patient requests an appointment, and the doctor confirms it.
func book(ctx context.Context, patient, doctor *account, slot client.Slot) (chat, error) {
	r := chat{patient: patient, doctor: doctor}
	r.patient.booking.Lock()
	defer r.patient.booking.Unlock()
	a, err := r.patient.api.Book(ctx, r.doctor.api.User().UserID, slot.StartsAt, "Load test")
	if err != nil {
		return chat{}, err
	}
	if a.Status != "BOOKED" {
		if _, err := r.doctor.api.Confirm(ctx, a.ID, nil); err != nil {
			return chat{}, err
		}
	}
	r.id = a.ID
	return r, nil
}

// explain adds advice about the service's limits.
func explain(step string, err error) error {
	if p, ok := client.AsProblem(err); ok && p.Status == http.StatusTooManyRequests {
		return errors.Join(fmt.Errorf("%s: %w", step, err),
			errors.New("raise the service's limits for load tests: see --help"))
	}
	return fmt.Errorf("%s: %w", step, err)
}
