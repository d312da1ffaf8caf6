package assistant

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/httpd/ratelimit"
)

// Deps are what a Service needs. All are required.
type Deps struct {
	Limiter  ratelimit.Limiter
	Registry *prometheus.Registry
	Logger   zerolog.Logger
	Options  Options
}

// Service is the assistant. It needs no start; Interrupt ends it.
type Service struct {
	d       Deps
	model   *model // nil: off
	metrics *metrics

	ctx  context.Context // ends with Interrupt
	stop context.CancelFunc

	mu      sync.Mutex    // guards the rest
	asking  int           // questions that the model is answering
	askedBy map[int64]int // the same by users.id
}

// New returns a Service.
func New(d Deps) *Service {
	s := &Service{d: d, metrics: newMetrics(d.Registry), askedBy: map[int64]int{}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	if d.Options.Endpoint != "" {
		s.model = newModel(d.Options)
	}
	return s
}

// Interrupt ends what the model is being asked, with the polite reply that it cannot answer: a stop must not wait for
// a model. It implements httpd.Interruptible.
func (s *Service) Interrupt() {
	s.stop()
	if s.model != nil {
		s.model.disconnect()
	}
}

// On reports whether there is a model.
func (s *Service) On() bool { return s.model != nil }

// Question is a message that the assistant has taken, and will answer.
type Question struct {
	s       *Service
	by      auth.Actor
	message string
	in      language
	answer  *Answer // nil: the model has to answer
}

// ErrLimit is the refusal of a patient who has asked too often; RetryAfter is how long to wait.
var ErrLimit = errs.New(errs.RateLimited, "assistant_limit", "")

// Take takes a patient's message. What needs no model is decided here: an emergency first of all, even in a message
// that is too long and for a patient who has asked the model too often. The error is ErrForbidden for others than
// patients, a 422 for a message that is blank or longer than MaxChars, and ErrLimit.
func (s *Service) Take(ctx context.Context, by auth.Actor, text string) (*Question, error) {
	if by.Role != auth.Patient {
		return nil, errs.ErrForbidden
	}
	messages := ratelimit.Limit{N: perMinute, Per: time.Minute}
	if err := s.throttle(ctx, "assistant:messages:"+by.UserID, messages); err != nil {
		return nil, err
	}
	q := &Question{s: s, by: by, in: tallyOf(head(text, scanned)).language()}
	if emergency(text) {
		q.known(s.emergencyIn(q.in), Health)
		return q, nil
	}
	var err error
	if q.message, err = message.Field("body.message", text); err != nil {
		return nil, err
	}
	w := words[q.in]
	switch {
	case isGreeting(q.message):
		q.known(w.hello, General)
	case isOffTopic(q.message):
		q.known(w.declined, NonHealth)
	case s.model == nil:
		q.known(w.off, Failed)
	case !understood(q.message):
		q.known(words[english].foreign, Failed)
	default:
		limit := ratelimit.Limit{N: s.d.Options.PerHour, Per: time.Hour}
		return q, s.throttle(ctx, "assistant:questions:"+by.UserID, limit)
	}
	return q, nil
}

func (q *Question) known(reply string, from Source) {
	a := q.s.ended(q.in, reply, from)
	q.answer = &a
}

// throttle counts a message under a key. The refusal names the number for emergencies, since nobody has looked whether
// the message is about one.
func (s *Service) throttle(ctx context.Context, key string, limit ratelimit.Limit) error {
	ok, wait := s.d.Limiter.Allow(ctx, key, limit)
	if ok {
		return nil
	}
	s.metrics.answered(Failed, "limit")
	refusal := *ErrLimit
	refusal.RetryAfter = wait
	refusal.Message = fmt.Sprintf("You have asked the assistant many questions in a short time. You can ask again in %s. "+
		"In an emergency call %s.", minutes(wait), s.d.Options.Emergency)
	return &refusal
}

func minutes(d time.Duration) string {
	if n := int(math.Ceil(d.Minutes())); n > 1 {
		return fmt.Sprintf("%d minutes", n)
	}
	return "a minute"
}

// Answer answers the question. Parts of the answer of the model are said as soon as they have been checked, in order;
// the returned answer replaces them, since a model may fail in the middle. say may be nil. If it fails, or ctx ends,
// the model is not asked any further. Answer sets the time limit itself: ctx should not have that of a request. It does
// not panic, since nobody else would answer then, and since a panic may quote what the patient or the model said.
func (q *Question) Answer(ctx context.Context, say func(part string) error) (a Answer) {
	defer func() {
		if thrown := recover(); thrown != nil {
			q.s.metrics.answered(Failed, "panic")
			q.s.d.Logger.Error().Type("type", thrown).Bytes("stack", debug.Stack()).Msg("the assistant panicked")
			a = q.s.ended(q.in, words[q.in].failed, Failed)
		}
	}()
	if q.answer != nil {
		q.s.metrics.answered(q.answer.Source, "")
		return *q.answer
	}
	free, ok := q.s.enter(q.by.ID)
	if !ok {
		q.s.metrics.answered(Failed, "busy")
		return q.s.ended(q.in, words[q.in].busy, Failed)
	}
	defer free()
	ctx, cancel := context.WithTimeout(ctx, q.s.d.Options.Timeout)
	defer cancel()
	defer context.AfterFunc(q.s.ctx, cancel)()
	if say == nil {
		say = func(string) error { return nil }
	}
	d := draft{say: say}
	err := q.s.model.ask(ctx, instructions, q.message, d.add)
	if err == nil {
		err = d.end()
	}
	return q.judge(&d, err)
}

// judge turns what has come of the model into the answer.
func (q *Question) judge(d *draft, err error) Answer {
	w := words[q.in]
	var f failure
	switch {
	case err == nil, errors.Is(err, errEnough):
		q.s.metrics.answered(Health, "")
		return q.s.ended(q.in, d.text.String(), Health)
	case errors.Is(err, errDeclined):
		q.s.metrics.answered(NonHealth, "")
		return q.s.ended(q.in, w.declined, NonHealth)
	case errors.Is(err, errUnsafe):
		q.s.metrics.answered(Health, "unsafe")
		return q.s.ended(q.in, strings.TrimSpace(d.text.String())+"\n\n"+w.safe, Health)
	case errors.As(err, &f):
	default:
		f = canceled // say failed
	}
	q.s.metrics.answered(Failed, string(f))
	if f != canceled {
		q.s.d.Logger.Warn().Str("reason", string(f)).Msg("the assistant's model gave no answer")
	}
	return q.s.ended(q.in, w.failed, Failed)
}

// enter takes one of the places of those who ask at once; ok is false if none is free.
func (s *Service) enter(userID int64) (free func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asking >= s.d.Options.AtOnce || s.askedBy[userID] >= perPatientAtOnce {
		return nil, false
	}
	s.asking++
	s.askedBy[userID]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asking--
		if s.askedBy[userID]--; s.askedBy[userID] == 0 {
			delete(s.askedBy, userID)
		}
	}, true
}
