package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseAssistant(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ address, api, endpoint, protocol string }{
		{"http://ollama:11434", "", "http://ollama:11434/api/chat", "ollama"},
		{"http://ollama:11434/", "", "http://ollama:11434/api/chat", "ollama"},
		{"http://ollama:11434/api/chat", "", "http://ollama:11434/api/chat", "ollama"},
		{"https://models.example/behind/", "ollama", "https://models.example/behind/api/chat", "ollama"},
		{"https://models.example/v1", "", "https://models.example/v1/chat/completions", "openai"},
		{"https://models.example/api/v1/", "", "https://models.example/api/v1/chat/completions", "openai"},
		{"https://models.example", "openai", "https://models.example/v1/chat/completions", "openai"},
		{"https://models.example/x/openai", "openai", "https://models.example/x/openai/chat/completions", "openai"},
		{"https://m.example/x/chat/completions?v=2", "", "https://m.example/x/chat/completions?v=2", "openai"},
		{"https://models.example/v1/chat/completions", "ollama", "", ""},
		{"http://ollama:11434/api/chat", "openai", "", ""},
		{"https://models.example/elsewhere", "", "", ""},
		{"https://user:secret@models.example/v1", "", "", ""},
		{"ftp://models.example", "", "", ""},
		{"models.example:11434", "", "", ""},
		{"http://", "", "", ""},
		{"http://a b/", "", "", ""},
	} {
		endpoint, protocol, err := ParseAssistant(c.address, c.api)
		require.Equal(t, c.protocol == "", err != nil, c.address)
		require.Equal(t, c.endpoint, endpoint)
		require.Equal(t, c.protocol, protocol)
		if err != nil {
			require.NotContains(t, err.Error(), "secret")
		}
	}
}

func TestFrom_Assistant(t *testing.T) {
	t.Parallel()
	require.Empty(t, Default().AssistantURL, "it is off by default")
	e := beside("ASSISTANT_")
	_, err := From(e)
	require.NoError(t, err)
	delete(e, Prefix+"ASSISTANT_MODEL")
	_, err = From(e)
	require.ErrorContains(t, err, Prefix+"ASSISTANT_MODEL must be the name of a model")
}

func FuzzParseAssistant(f *testing.F) {
	f.Add("https://models.example/v1", "")
	f.Add("http://ollama:11434", "ollama")
	f.Fuzz(func(t *testing.T, address, api string) {
		if api != "" && api != "ollama" {
			api = "openai"
		}
		endpoint, protocol, err := ParseAssistant(address, api)
		if err != nil {
			return
		}
		again, same, err := ParseAssistant(endpoint, protocol)
		require.NoError(t, err)
		require.Equal(t, endpoint, again)
		require.Equal(t, protocol, same)
	})
}
