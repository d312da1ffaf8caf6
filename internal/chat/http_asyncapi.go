package chat

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/gofiber/fiber/v2"

	"housecall/internal/httpd"
)

// asyncAPIType is the media type that the AsyncAPI Initiative recommends.
const asyncAPIType = "application/vnd.aai.asyncapi+json;version=3.0.0"

// asyncAPI describes the WebSocket protocol for programs, as PROTOCOL.md does for people. A test compares it with the
// frame types.
//
//go:embed asyncapi.json
var asyncAPI []byte

// describe adds the route /asyncapi.json; the document names this service as the server.
func describe(srv *httpd.Server, publicURL string) {
	document, err := describedAt(publicURL)
	if err != nil {
		panic("chat: the AsyncAPI document: " + err.Error()) // it is embedded, so the tests would fail first
	}
	srv.Router().Get("/asyncapi.json", func(c *fiber.Ctx) error {
		c.Set(fiber.HeaderContentType, asyncAPIType)
		return c.Send(document)
	})
}

// describedAt returns the document with the address that clients connect to.
func describedAt(publicURL string) ([]byte, error) {
	u, err := url.Parse(publicURL)
	if err != nil {
		return nil, fmt.Errorf("the public URL: %w", err)
	}
	protocol := "ws"
	if u.Scheme == "https" {
		protocol = "wss"
	}
	var document map[string]json.RawMessage
	if err := json.Unmarshal(asyncAPI, &document); err != nil {
		return nil, fmt.Errorf("read it: %w", err)
	}
	type ref struct {
		Ref string `json:"$ref"`
	}
	document["servers"], err = json.Marshal(map[string]any{"clinic": map[string]any{
		"host": u.Host, "protocol": protocol,
		"security": []ref{{"#/components/securitySchemes/bearer"}, {"#/components/securitySchemes/bearerSubprotocol"}},
	}})
	if err != nil {
		return nil, fmt.Errorf("name the server: %w", err)
	}
	return json.Marshal(document)
}
