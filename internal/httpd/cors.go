package httpd

import (
	"github.com/gofiber/fiber/v2"

	"housecall/internal/text"
)

// allowOrigin tells browsers which foreign pages may read the answer (Fetch standard, CORS protocol). Tokens are sent
// in a header, never in a cookie, so credentials are not allowed.
func (s *Server) allowOrigin(c *fiber.Ctx) {
	c.Vary(fiber.HeaderOrigin)
	origin := c.Get(fiber.HeaderOrigin)
	if !s.OriginAllowed(origin) {
		return
	}
	c.Set(fiber.HeaderAccessControlAllowOrigin, origin)
	c.Set(fiber.HeaderAccessControlExposeHeaders, "ETag, Idempotent-Replayed, Location, Retry-After, X-Request-Id, "+
		"Accept-Ranges, Content-Disposition, Content-Range")
}

// OriginAllowed tells whether pages of an origin may call the API and open sockets: the service's own origin and those
// configured. It is false without an Origin (""), which browsers always send; the caller decides about that case.
// Origins are compared as browsers do.
func (s *Server) OriginAllowed(origin string) bool {
	origin, ok := text.Origin(origin)
	return ok && s.origins[origin]
}

// preflight answers a browser's preflight request; false if the request is not one.
func (s *Server) preflight(c *fiber.Ctx) bool {
	if c.Method() != fiber.MethodOptions || c.Get(fiber.HeaderOrigin) == "" ||
		c.Get(fiber.HeaderAccessControlRequestMethod) == "" {
		return false
	}
	c.Vary(fiber.HeaderAccessControlRequestMethod, fiber.HeaderAccessControlRequestHeaders)
	if s.OriginAllowed(c.Get(fiber.HeaderOrigin)) {
		c.Set(fiber.HeaderAccessControlAllowMethods, "GET, POST, PUT, PATCH, DELETE")
		c.Set(fiber.HeaderAccessControlAllowHeaders, "Authorization, Auth-Token, Content-Type, Idempotency-Key, If-Match, "+
			"If-None-Match, If-Range, Range, X-Request-Id")
		c.Set(fiber.HeaderAccessControlMaxAge, "600")
	}
	return true
}
