package assistant

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

const (
	// mostStreamBytes limits what is read of one answer: each piece comes in an envelope of a few hundred bytes, and some
	// models think aloud for pages.
	mostStreamBytes = 2 << 20
	// mostLineBytes limits one line of it.
	mostLineBytes = 256 << 10
)

// chunk is what both protocols send again and again; each uses its own fields.
// (https://docs.ollama.com/api/chat, https://platform.openai.com/docs/api-reference/chat-streaming)
type chunk struct {
	// Of Ollama.
	Message *turn `json:"message"`
	Done    bool  `json:"done"`
	// Of OpenAI: Delta in a stream, Message in an answer as a whole.
	Choices []struct {
		Delta        *turn  `json:"delta"`
		Message      *turn  `json:"message"`
		FinishReason string `json:"finish_reason"`
	} `json:"choices"`
	Error json.RawMessage `json:"error"`
}

// pass passes on the text of a chunk, and reports whether it is the last one.
func (c chunk) pass(say func(string) error) (done bool, err error) {
	if len(c.Error) > 0 && !bytes.Equal(c.Error, []byte("null")) {
		return false, refused
	}
	if c.Message == nil && c.Choices == nil && !c.Done {
		return false, nonsense
	}
	done = c.Done
	turns := []*turn{c.Message}
	if len(c.Choices) > 0 {
		first := c.Choices[0]
		turns = append(turns, first.Delta, first.Message)
		done = done || first.FinishReason != ""
	}
	for _, t := range turns {
		if t == nil || t.Content == "" {
			continue
		}
		if err := say(t.Content); err != nil {
			return false, err
		}
	}
	return done, nil
}

// decode reads one chunk.
func decode(raw []byte) (c chunk, err error) {
	if json.Unmarshal(raw, &c) != nil {
		return c, nonsense
	}
	return c, nil
}

// readLines reads JSON lines, as Ollama sends them, until one says that it is the last. Since a document that is
// spread over several lines is also read, it does not look for the line breaks.
func readLines(r io.Reader, say func(string) error) error {
	d := json.NewDecoder(r)
	for {
		var raw json.RawMessage
		switch err := d.Decode(&raw); {
		case isSyntax(err):
			return nonsense
		case err != nil:
			return brokenOff
		case len(raw) > mostLineBytes:
			return nonsense
		}
		c, err := decode(raw)
		if err != nil {
			return err
		}
		if done, err := c.pass(say); done || err != nil {
			return err
		}
	}
}

// readEvents reads Server-Sent Events (https://html.spec.whatwg.org/multipage/server-sent-events.html) until [DONE], or
// until the model has finished: some servers leave [DONE] out. Fields other than data do not matter here; each data
// line is a document of its own.
func readEvents(r io.Reader, say func(string) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), mostLineBytes)
	heard := false
	for lines.Scan() {
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data:"))
		if !ok {
			continue
		}
		if data = bytes.TrimSpace(data); len(data) == 0 {
			continue
		}
		if bytes.Equal(data, []byte("[DONE]")) {
			return nil
		}
		heard = true
		c, err := decode(data)
		if err != nil {
			return err
		}
		if done, err := c.pass(say); done || err != nil {
			return err
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) || lines.Err() == nil && !heard {
		return nonsense // such as a page in HTML
	}
	return brokenOff
}

// isSyntax reports whether a decoder failed because of what it read, not because there was no more.
func isSyntax(err error) bool {
	switch err.(type) { //nolint:errorlint // the decoder returns them as they are
	case *json.SyntaxError, *json.UnmarshalTypeError:
		return true
	}
	return false
}
