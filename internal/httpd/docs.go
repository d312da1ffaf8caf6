package httpd

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"reflect"
	"sync"

	"github.com/gofiber/fiber/v2"
	swaggerui "github.com/swaggo/files/v2"
)

// docsPolicy lets Swagger UI use only what this server sends. Swagger UI sets style attributes, and its style sheet
// has images as data URLs.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const docsPage = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Housecall API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" type="image/png" href="/docs/favicon-32x32.png" sizes="32x32">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
`

// docsStart is a separate file because the policy forbids scripts inside the page. With validatorUrl null, Swagger UI
// does not send the document to a public validator.
const docsStart = `window.onload = function () {
  window.ui = SwaggerUIBundle({
    url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null,
    presets: [SwaggerUIBundle.presets.apis], layout: "BaseLayout"
  });
};
`

// docsAssets are the files of Swagger UI that the page needs.
var docsAssets = []string{"swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"}

// docsRoutes adds /openapi.json, and /docs to browse it offline.
func (s *Server) docsRoutes() {
	s.document = sync.OnceValues(func() ([]byte, error) { return json.Marshal(s.api.OpenAPI()) })
	s.app.Get("/openapi.json", func(c *fiber.Ctx) error {
		b, err := s.Document()
		if err != nil {
			return err
		}
		c.Set(fiber.HeaderContentType, "application/openapi+json")
		return c.Send(b)
	})
	s.docsFile("/docs", ".html", []byte(docsPage))
	s.docsFile("/docs/start.js", ".js", []byte(docsStart))
	for _, name := range docsAssets {
		content, err := fs.ReadFile(swaggerui.FS, name)
		if err != nil {
			panic("httpd: Swagger UI lacks " + name) // it is embedded, so a test would have failed
		}
		s.docsFile("/docs/"+name, path.Ext(name), content)
	}
}

// Document returns the OpenAPI 3.1 document, as JSON. All routes must have been registered: it is made once.
func (s *Server) Document() ([]byte, error) {
	b, err := s.document()
	if err != nil {
		return nil, fmt.Errorf("encode the OpenAPI document: %w", err)
	}
	return b, nil
}

// Output is what a route answers if it succeeds.
type Output struct {
	Method, Path string       // as the document has them
	Type         reflect.Type // the O of Register
}

// Outputs returns those of all routes, in the order of their registration. Tests compare them with the document.
func (s *Server) Outputs() []Output { return s.outputs }

func (s *Server) docsFile(at, extension string, content []byte) {
	s.app.Get(at, func(c *fiber.Ctx) error {
		c.Set(fiber.HeaderContentSecurityPolicy, docsPolicy)
		c.Set(fiber.HeaderCacheControl, "public, max-age=3600")
		c.Type(extension, "utf-8")
		return c.Send(content)
	})
}
