package assistant

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

var readers = map[API]func(io.Reader, func(string) error) error{Ollama: readLines, OpenAI: readEvents}

func TestStreams(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		api    API
		stream string
		said   string
		err    error
	}{
		{Ollama, `{"message":{"role":"assistant","content":"A"},"done":false}` + "\n" + `{"message":{"content":"B"},"done":true}`, "AB", nil},
		{Ollama, `{"message":{"thinking":"hm","content":""}}` + "\n" + `{"message":{"content":"B"}}` + "\n" + `{"done":true}`, "B", nil},
		{Ollama, "{\n\"message\": {\"content\": \"whole\"},\n\"done\": true}", "whole", nil},
		{Ollama, `{"message":{"content":"A"},"done":false}`, "A", brokenOff},
		{Ollama, `{"message":{"content":"A`, "", brokenOff},
		{Ollama, `{"error":"model not found"}`, "", refused},
		{Ollama, `{"message":{"content":"A"}}` + "\n" + `{"error":"out of memory"}`, "A", refused},
		{Ollama, "<html>", "", nonsense},
		{Ollama, `"text"`, "", nonsense},
		{Ollama, `{"hello":1}`, "", nonsense},
		{Ollama, `{"message":{"content":5}}`, "", nonsense},
		{Ollama, "", "", brokenOff},
		{OpenAI, "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null}}]}\n\n: alive\nevent: x\nid: 1\n" +
			"data:{\"choices\":[{\"delta\":{\"content\":\"A\"}}]}\r\n\r\ndata: {\"choices\":[],\"usage\":{}}\n\ndata: [DONE]\n", "A", nil},
		{OpenAI, `data: {"choices":[{"delta":{"content":"A"},"finish_reason":"stop"}]}`, "A", nil},
		{OpenAI, `data: {"choices":[{"delta":{"content":"A"},"finish_reason":null}]}` + "\n\n", "A", brokenOff},
		{OpenAI, "data: {\"error\":{\"message\":\"no\"}}\n\n", "", refused},
		{OpenAI, "<html><body>Sign in</body></html>", "", nonsense},
		{OpenAI, "data: {]\n\n", "", nonsense},
		{OpenAI, "data: [1]\n\n", "", nonsense},
		{OpenAI, "data: " + strings.Repeat("x", mostLineBytes+1), "", nonsense},
	} {
		for _, r := range []io.Reader{strings.NewReader(c.stream), iotest.OneByteReader(strings.NewReader(c.stream))} {
			var said strings.Builder
			err := readers[c.api](r, func(piece string) error { said.WriteString(piece); return nil })
			require.Equal(t, c.err, err, c.stream)
			require.Equal(t, c.said, said.String(), c.stream)
		}
	}
	enough := errors.New("enough")
	for api, stream := range map[API]string{
		Ollama: `{"message":{"content":"A"}}`, OpenAI: `data: {"choices":[{"delta":{"content":"A"}}]}`,
	} {
		require.Equal(t, enough, readers[api](strings.NewReader(stream), func(string) error { return enough }))
	}
}
