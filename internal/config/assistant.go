package config

import (
	"errors"
	"net/url"
	"strings"
	"time"

	"housecall/internal/text"
)

// The values of ASSISTANT_API: protocols of language models.
const (
	assistantOllama = "ollama"
	assistantOpenAI = "openai"
)

// The ends of the paths to which chats are posted.
const (
	pathOllama = "/api/chat"
	pathOpenAI = "/chat/completions"
)

// maxAssistantTimeout is the longest that a patient, and the load balancers in between, should wait for an answer.
const maxAssistantTimeout = 2 * time.Minute

func (c Config) validateAssistant(v *problems) {
	v.require("ASSISTANT_API", isAssistantAPI(c.AssistantAPI), "must be ollama, openai or empty")
	v.require("ASSISTANT_TIMEOUT", c.AssistantTimeout > 0 && c.AssistantTimeout <= maxAssistantTimeout,
		"must be positive and at most 2m")
	if c.AssistantURL == "" {
		return
	}
	_, _, err := ParseAssistant(c.AssistantURL, c.AssistantAPI)
	v.require("ASSISTANT_URL", err == nil, "must be a URL such as http://ollama:11434 or https://models.example/v1, "+
		"without credentials; ASSISTANT_API has to fit it, and has to be set if its path does not end like one of these")
	v.require("ASSISTANT_MODEL", c.AssistantModel != "" && isLine(c.AssistantModel),
		"must be the name of a model if ASSISTANT_URL is set")
	v.require("ASSISTANT_KEY", text.IsLine(c.AssistantKey.Reveal()) && isASCII(c.AssistantKey.Reveal()),
		"must be one line of ASCII characters")
}

func isAssistantAPI(s string) bool { return s == "" || s == assistantOllama || s == assistantOpenAI }

var errAssistant = errors.New("is not the URL of a model's API")

// ParseAssistant reads the URL of a language model: the address to which chats are posted, and the protocol that is
// spoken there. Without an api the path tells: none, or /api/chat, is Ollama; one that ends with /v1, or with
// /chat/completions, is OpenAI's. A base URL is completed.
func ParseAssistant(address, api string) (endpoint, protocol string, err error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil ||
		u.Fragment != "" || !isAssistantAPI(api) {
		return "", "", errAssistant
	}
	path := strings.TrimRight(u.Path, "/")
	whole := ""
	switch {
	case strings.HasSuffix(path, pathOpenAI):
		whole = assistantOpenAI
	case strings.HasSuffix(path, pathOllama):
		whole = assistantOllama
	}
	switch {
	case whole != "" && api != "" && api != whole:
		return "", "", errAssistant
	case whole != "":
		api = whole
	case api == "" && path == "":
		api = assistantOllama
	case api == "" && strings.HasSuffix(path, "/v1"):
		api = assistantOpenAI
	case api == "":
		return "", "", errAssistant
	}
	if whole == "" {
		path += map[string]string{assistantOllama: pathOllama, assistantOpenAI: pathOpenAI}[api]
		if api == assistantOpenAI && path == pathOpenAI {
			path = "/v1" + path
		}
	}
	u.Path, u.RawPath = path, ""
	return u.String(), api, nil
}
