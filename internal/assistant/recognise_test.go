package assistant

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Each line of these files has yes or no, and a text for which the function should say so.
func TestRules(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]func(string) bool{
		"emergencies": emergency, "greetings": isGreeting, "off_topic": isOffTopic, "understood": understood, "unsafe": unsafe,
	} {
		content, err := os.ReadFile(filepath.Join("testdata", name+".txt"))
		require.NoError(t, err)
		for line := range strings.Lines(string(content)) {
			want, s, ok := strings.Cut(strings.TrimSpace(line), " ")
			require.True(t, ok, line)
			s, err := strconv.Unquote(`"` + strings.ReplaceAll(s, `"`, `\"`) + `"`)
			require.NoError(t, err, line)
			assert.Equal(t, want, map[bool]string{true: "yes", false: "no"}[rule(s)], "%s: %q", name, s)
		}
	}
	require.False(t, emergency(""))
	require.False(t, isGreeting(""))
	require.False(t, unsafe(""))
}

func TestDeclines(t *testing.T) {
	t.Parallel()
	require.True(t, declines("NOT_HEALTH"))
	require.True(t, declines("**not health.** I am sorry"))
	require.False(t, declines("Not healthy are sweets."))
}

func TestTally_language(t *testing.T) {
	t.Parallel()
	require.Equal(t, german, tallyOf("Was hilft gegen Husten?").language())
	require.Equal(t, english, tallyOf("What helps against a cough?").language())
	require.Equal(t, english, tallyOf("fever").language())
}

func TestSentences(t *testing.T) {
	t.Parallel()
	const whole = "Take 2.5 mg, e.g. \"now.\" Then wait!  Is it good?\n\n- one\n- two… (done.) The rest"
	want := []string{
		"Take 2.5 mg, e.g. ", "\"now.\" ", "Then wait!  ", "Is it good?\n", "\n- one\n", "- two… ", "(done.) ", "The rest",
	}
	for size := 1; size <= len(whole); size++ {
		var s sentences
		var got []string
		for i := 0; i < len(whole); i += size {
			got = append(got, s.add(whole[i:min(i+size, len(whole))])...)
		}
		got = append(got, s.end())
		require.Equal(t, whole, strings.Join(got, ""))
		require.Equal(t, want, got, "in pieces of %d bytes", size)
	}
}

func TestThoughts(t *testing.T) {
	t.Parallel()
	const whole = "<think>He has a cold. <b>500 mg</think>Rest < is <thin good.<think>endless"
	for size := 1; size <= len(whole); size++ {
		var s thoughts
		got := ""
		for i := 0; i < len(whole); i += size {
			got += s.add(whole[i:min(i+size, len(whole))])
		}
		require.Equal(t, "Rest < is <thin good.", got+s.end(), "in pieces of %d bytes", size)
	}
}

// Whatever a model says in whatever pieces, what passes is what it said, and no sentence of it is unsafe.
func FuzzDraft(f *testing.F) {
	f.Add("Rest and drink water. You have a cold. It is fine.", uint8(3))
	f.Add("<think>no</think>Take 500\nmg of it, and you will be well.", uint8(1))
	f.Add("NOT_HEALTH", uint8(2))
	f.Fuzz(func(t *testing.T, answer string, size uint8) {
		var said strings.Builder
		d := draft{say: func(part string) error { said.WriteString(part); return nil }}
		var err error
		step := int(size) + 1
		for i := 0; i < len(answer) && err == nil; i += step {
			err = d.add(answer[i:min(i+step, len(answer))])
		}
		if err == nil {
			_ = d.end()
		}
		require.Equal(t, said.String(), d.text.String())
		require.LessOrEqual(t, said.Len(), mostAnswerBytes)
		var s sentences
		for _, sentence := range append(s.add(said.String()), s.end()) {
			require.False(t, unsafe(sentence), "%q", sentence)
		}
	})
}

func FuzzEmergency(f *testing.F) {
	f.Add("no chest pain", "I ")
	f.Fuzz(func(t *testing.T, before, after string) {
		_ = emergency(before + after)
		if len(before) < 1000 && !strings.ContainsAny(before, "0123456789") {
			require.True(t, emergency(before+" chest pain "), "whatever is said around it")
		}
	})
}

func FuzzStreams(f *testing.F) {
	f.Add("data: {\"choices\":[{\"delta\":{\"content\":\"Rest.\"}}]}\n\ndata: [DONE]\n\n")
	f.Add("{\"message\":{\"content\":\"Rest.\"},\"done\":false}\n{\"done\":true}\n")
	f.Add("<html>")
	f.Add("data: {\"error\":{\"message\":\"private\"}}\n\n")
	f.Fuzz(func(t *testing.T, stream string) {
		for _, read := range readers {
			said := 0
			err := read(strings.NewReader(stream), func(piece string) error { said += len(piece); return nil })
			require.LessOrEqual(t, said, 3*len(stream)+3, "nothing is made up")
			if err != nil {
				var known failure
				require.ErrorAs(t, err, &known)
				require.NotContains(t, err.Error(), "private")
			}
		}
	})
}
