package ui

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"

	"github.com/gofiber/fiber/v2"

	"housecall/internal/httpd"
)

//go:embed static
var statics embed.FS

// appPolicy lets the page of the appointments and the chat run our own scripts, speak to this service alone (WebSocket
// too: CSP 3, 6.7.2.8, counts it as 'self'), and show images that it has made itself, of files it has fetched with its
// token. Nothing that anybody wrote can become a script: the page makes no HTML from text.
const appPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src blob:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

var staticTypes = map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}

// appRoutes adds the page of the user's appointments and conversations, and the modules it is made of, which other
// pages may use as well. The page is the same for everybody; it asks the API for what it shows, with its user's token.
func appRoutes(s *httpd.Server) {
	page, err := files.ReadFile("pages/app.html")
	if err != nil {
		panic("ui: the page of the chat is not embedded") // a test makes sure that it is
	}
	for _, at := range []string{HomePath, InboxPath, AssistantPath, AppointmentsPath + "/:id"} {
		s.Router().Get(at, func(c *fiber.Ctx) error {
			c.Set(fiber.HeaderContentSecurityPolicy, appPolicy)
			c.Type(".html", "utf-8")
			return c.Send(page)
		})
	}
	err = fs.WalkDir(statics, "static", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := statics.ReadFile(name)
		if err == nil {
			s.Router().Get("/"+name, asset(staticTypes[path.Ext(name)], content))
		}
		return err
	})
	if err != nil {
		panic("ui: the modules are not embedded") // a test makes sure that they are
	}
}

// asset serves a file that browsers cache, but revalidate each time: the modules belong together, so none may be older
// than another.
func asset(kind string, content []byte) fiber.Handler {
	sum := sha256.Sum256(content)
	tag := `"` + hex.EncodeToString(sum[:16]) + `"`
	return func(c *fiber.Ctx) error {
		c.Set(fiber.HeaderETag, tag)
		c.Set(fiber.HeaderCacheControl, "public, no-cache")
		if c.Fresh() {
			return c.SendStatus(http.StatusNotModified)
		}
		c.Set(fiber.HeaderContentType, kind)
		return c.Send(content)
	}
}
