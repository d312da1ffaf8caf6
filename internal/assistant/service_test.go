package assistant

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/testing/apitest"
)

const (
	question = "What helps against a cough?"
	advised  = "Rest and drink enough water. A cough usually gets better within three weeks. See a doctor if it lasts longer."
)

func each(t *testing.T, test func(t *testing.T, api API)) {
	t.Helper()
	for _, api := range []API{Ollama, OpenAI} {
		t.Run(string(api), func(t *testing.T) {
			t.Parallel()
			test(t, api)
		})
	}
}

func TestService_Health(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, api API) {
		w := newWorld(t, api)
		w.machine.says(advised)
		a := w.asks(question)
		require.Equal(t, w.svc.ended(english, advised, Health), a)
		require.Contains(t, a.Reply, "not a diagnosis")
		require.Len(t, w.machine.requests(), 1)
		asked := w.machine.requests()[0]
		apitest.Golden(t, "request_"+string(api), apitest.Answer{Raw: []byte(asked)})
		require.Equal(t, "Bearer the-key", w.machine.header.Get("Authorization"))
		for _, private := range []string{w.patient.UserID, w.patient.Name} {
			require.NotContains(t, asked, private, "the model does not learn who asks")
		}

		w.machine.says("Ruhen Sie sich aus und trinken Sie viel. Gehen Sie zum Arzt, wenn es nicht besser wird.")
		require.Contains(t, w.asks("Was hilft gegen Husten?").Reply, "automatischen Assistenten")

		w.machine.says("<think>He has a cold, take 500 mg.</think>\n\n**Rest** is good for you, and so is water.")
		require.True(t, strings.HasPrefix(w.asks(question).Reply, "Rest is good for you, and so is water.\n\n"))

		w.machine.does(func(rw http.ResponseWriter, _ *http.Request) { // it does not stream
			rw.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(rw).Encode(map[string]any{
				"message": map[string]any{"content": advised}, "done": true,
				"choices": map[API]any{OpenAI: []any{map[string]any{
					"message": map[string]any{"content": advised}, "finish_reason": "stop",
				}}}[api],
			})
		})
		if api == OpenAI {
			return // it has both fields in this test, and so the text twice
		}
		require.Equal(t, w.svc.ended(english, advised, Health), w.asks(question))
	})
}

func TestService_withoutTheModel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Ollama, func(o *Options) { o.PerHour = 1 })
	w.machine.says("NOT_HEALTH")
	require.Equal(t, w.svc.ended(english, words[english].declined, NonHealth), w.asks("How tall is that tower there?"))
	for range 3 { // the limit does not count here
		a := w.asks("I cannot breathe and my chest hurts, what should I do?")
		require.Equal(t, Health, a.Source)
		require.Contains(t, a.Reply, "Call 112 now")
		a = w.asks("Ich habe starke Schmerzen in der Brust")
		require.Contains(t, a.Reply, "Rufen Sie sofort an: 112")
		require.Equal(t, General, w.asks("Hello!").Source)
		require.Equal(t, NonHealth, w.asks("What is the capital of France?").Source)
	}
	require.Contains(t, w.asks("chest pain"+strings.Repeat(" and more", MaxChars)).Reply, "112", "however long")
	require.Equal(t, Failed, w.asks("¿Qué puedo tomar para bajar rápido mi fiebre alta hoy?").Source)
	require.Len(t, w.machine.requests(), 1)

	_, err := w.svc.Take(t.Context(), w.patient, question)
	require.ErrorIs(t, err, ErrLimit)
	var refusal *errs.Error
	require.ErrorAs(t, err, &refusal)
	require.Positive(t, refusal.RetryAfter)
	require.Regexp(t, `You can ask again in \d+ minutes\. In an emergency call 112\.`, refusal.Message)
	other := w.patient
	other.ID, other.UserID = 2, "PAT0000000002"
	_, err = w.svc.Take(t.Context(), other, question)
	require.NoError(t, err, "each patient has their own allowance")

	for _, bad := range []string{"", " \n", "\u200b", strings.Repeat("x", MaxChars+1), "a\x00b"} {
		_, err = w.svc.Take(t.Context(), w.patient, bad)
		require.Equal(t, errs.Invalid, errs.KindOf(err), "%q", bad)
	}
	for _, role := range []auth.Role{auth.Doctor, auth.Admin} {
		_, err = w.svc.Take(t.Context(), auth.Actor{ID: 3, Role: role}, question)
		require.ErrorIs(t, err, errs.ErrForbidden)
	}
}

// Whoever sends more than people can type still learns whom to call.
func TestService_flood(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Ollama)
	var err error
	for i := 0; err == nil && i < 100*perMinute; i++ {
		_, err = w.svc.Take(t.Context(), w.patient, "chest pain")
	}
	require.ErrorIs(t, err, ErrLimit)
	require.ErrorContains(t, err, "In an emergency call 112.")
}

func TestService_off(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Ollama, func(o *Options) { o.Endpoint = "" })
	require.False(t, w.svc.On())
	require.Equal(t, w.svc.ended(english, words[english].off, Failed), w.asks(question))
	require.Equal(t, w.svc.ended(german, words[german].off, Failed), w.asks("Was hilft gegen Husten?"))
	require.Equal(t, General, w.asks("Hi").Source)
	require.Contains(t, w.asks("I want to die").Reply, "Call 112 now", "emergencies need no model")
}

func TestService_unsafe(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, api API) {
		for answer, passes := range map[string]string{
			advised + " Take 500 mg of ibuprofen. More.":                       advised,
			"You have bronchitis. " + advised:                                  "",
			advised + "\nThe amount for adults is this: 500. mg that is. More": advised + "\nThe amount for adults is this: 500.",
			advised + " You should take amoxicillin":                           advised,
		} {
			w := newWorld(t, api)
			left := make(chan struct{})
			w.machine.does(func(rw http.ResponseWriter, r *http.Request) {
				w.machine.write(rw, answer)
				_, _ = io.WriteString(rw, "\n\n\n")
				w.machine.write(rw, " \nAnd so on. And on and on. It does not end. ")
				<-r.Context().Done()
				close(left)
			})
			want := w.svc.ended(english, strings.TrimSpace(passes+"\n\n"+words[english].safe), Health)
			require.Equal(t, want, w.asks(question), answer)
			<-left // nobody listens to the rest
			require.InDelta(t, 1, w.counted(Health, "unsafe"), 0)
		}
	})
}

// failures are what a machine does wrong, and what the log calls it.
func failures(m *machine) map[string]func(w http.ResponseWriter, r *http.Request) {
	text := func(kind, body string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			_, _ = io.WriteString(w, body)
		}
	}
	status := func(code int) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", m.endpoint())
			w.WriteHeader(code)
		}
	}
	endless := func(piece string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				m.write(w, piece)
			}
		}
	}
	return map[string]func(w http.ResponseWriter, r *http.Request){
		"refused: 500": status(http.StatusInternalServerError), "refused: 404": status(http.StatusNotFound),
		"refused: 401":        status(http.StatusUnauthorized),
		"refused: a redirect": status(http.StatusTemporaryRedirect),
		"throttled: 429":      status(http.StatusTooManyRequests),
		"nonsense: HTML":      text("text/html", "<html><body>Welcome to the hotel's network</body></html>"),
		"nonsense: JSON":      text("application/json", `{"hello":["world"]}`),
		"nonsense: binary":    text("application/octet-stream", "data: \x00\xff\xfe{}\n\n\x00"),
		"broken off: halfway": func(w http.ResponseWriter, _ *http.Request) {
			m.write(w, advised)
			panic(http.ErrAbortHandler)
		},
		"broken off: no end": func(w http.ResponseWriter, _ *http.Request) { m.write(w, advised) },
		"nonsense: nothing":  func(w http.ResponseWriter, _ *http.Request) { m.finish(w) },
		"nonsense: no sentence": endless(
			"word and word and word and word and word and word and word and word and word and word and word "),
		"nonsense: no language": func(w http.ResponseWriter, _ *http.Request) {
			m.write(w, "Tome dos pastillas cada noche antes de dormir y beba mucha agua.")
			m.finish(w)
		},
		"too slow: nothing": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"too slow: halfway": func(w http.ResponseWriter, r *http.Request) { m.write(w, advised); <-r.Context().Done() },
		"too slow: thinking": func(w http.ResponseWriter, r *http.Request) {
			m.write(w, "<think>Let me see.")
			<-r.Context().Done()
		},
	}
}

func TestService_failures(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, api API) {
		for name := range failures(&machine{}) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				reason, _, _ := strings.Cut(name, ":")
				w := newWorld(t, api, func(o *Options) {
					if reason == string(tooSlow) {
						o.Timeout = 100 * time.Millisecond
					}
				})
				w.machine.does(failures(w.machine)[name])
				require.Equal(t, w.svc.ended(english, words[english].failed, Failed), w.asks(question))
				require.InDelta(t, 1, w.counted(Failed, reason), 0, w.log.String())
				require.Contains(t, w.log.String(), `"reason":"`+reason+`"`)
				require.NotContains(t, w.log.String(), "cough")
			})
		}
	})
}

// A model that does not stop is stopped after a sentence.
func TestService_endless(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, api API) {
		w := newWorld(t, api)
		w.machine.does(func(rw http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				w.machine.write(rw, advised+" ")
			}
		})
		a := w.asks(question)
		require.Equal(t, Health, a.Source)
		require.Less(t, len(a.Reply), mostAnswerBytes+500)
	})
}

func TestService_unreachable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, OpenAI)
	w.machine.Close()
	require.Equal(t, Failed, w.asks(question).Source)
	require.InDelta(t, 1, w.counted(Failed, string(unreachable)), 0)
	require.NotContains(t, w.log.String(), "the-key")
}

// Each part is said as soon as it is checked, while the model is still writing; and whoever leaves is no longer asked
// for.
func TestService_streams(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, api API) {
		w := newWorld(t, api)
		heard, left := make(chan struct{}), make(chan struct{})
		w.machine.does(func(rw http.ResponseWriter, r *http.Request) {
			w.machine.write(rw, "Rest and drink enough water for a few days. And")
			<-heard
			w.machine.write(rw, " see a doctor if it does not get better. N")
			<-r.Context().Done()
			close(left)
		})
		q, err := w.svc.Take(t.Context(), w.patient, question)
		require.NoError(t, err)
		var parts []string
		gone := errors.New("gone")
		a := q.Answer(t.Context(), func(part string) error {
			if parts = append(parts, part); len(parts) == 1 {
				close(heard)
				return nil
			}
			return gone
		})
		<-left
		require.Equal(t, []string{"Rest and drink enough water for a few days. ", "And see a doctor if it does not get better. "}, parts)
		require.Equal(t, Failed, a.Source)
		require.Empty(t, w.log.String(), "a patient who leaves is no failure")
	})
}

func TestService_contention(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Ollama, func(o *Options) { o.AtOnce = 3 })
	others := make(chan struct{})
	w.machine.does(func(rw http.ResponseWriter, _ *http.Request) {
		<-others
		w.machine.write(rw, advised)
		w.machine.finish(rw)
	})
	const askers = 12
	answers := make(chan Answer, askers)
	var all sync.WaitGroup
	for i := range askers {
		by := w.patient
		by.ID += int64(i / 4) // four questions of each of three patients
		all.Go(func() {
			q, err := w.svc.Take(context.Background(), by, question)
			if err == nil {
				answers <- q.Answer(context.Background(), nil)
			}
		})
	}
	for range askers - 3 {
		require.Equal(t, w.svc.ended(english, words[english].busy, Failed), <-answers)
	}
	close(others)
	for range 3 {
		require.Equal(t, Health, (<-answers).Source)
	}
	all.Wait()
	require.Empty(t, w.svc.askedBy, "all places are free again")
	require.Zero(t, w.svc.asking)
}

func TestService_onePatient(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Ollama)
	for range perPatientAtOnce {
		_, ok := w.svc.enter(1)
		require.True(t, ok)
	}
	_, ok := w.svc.enter(1)
	require.False(t, ok, "one patient does not take all places")
	free, ok := w.svc.enter(2)
	require.True(t, ok)
	free()
}

func TestService_Interrupt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, OpenAI)
	asked := make(chan struct{})
	w.machine.does(func(_ http.ResponseWriter, r *http.Request) { close(asked); <-r.Context().Done() })
	go func() { <-asked; w.svc.Interrupt() }()
	require.Equal(t, Failed, w.asks(question).Source)
	require.Equal(t, Failed, w.asks(question).Source, "and from then on")
}

// A panic ends in the polite reply, streamed or not, and nothing that was said is in the log.
func TestQuestion_Answer_panic(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Ollama)
	w.machine.says("Rest and drink enough water for a few days. See a doctor if it lasts longer.")
	failed := w.svc.ended(english, words[english].failed, Failed)
	take := func() *Question {
		q, err := w.svc.Take(t.Context(), w.patient, question)
		require.NoError(t, err)
		return q
	}
	for range perPatientAtOnce + 1 { // it keeps no place
		require.Equal(t, failed, take().Answer(t.Context(), func(part string) error { panic(part) }))
	}
	broken := take()
	broken.s.model = nil
	e := newEvents(t.Context(), broken, patience)
	stream, err := io.ReadAll(e)
	require.NoError(t, err)
	require.NoError(t, e.Close())
	require.Contains(t, string(stream), words[english].failed)
	require.Equal(t, perPatientAtOnce+2, int(w.counted(Failed, "panic")))
	require.Contains(t, w.log.String(), "the assistant panicked")
	require.NotContains(t, w.log.String(), "drink enough")
}
