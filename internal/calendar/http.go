package calendar

import (
	"bytes"
	"compress/gzip"
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"housecall/internal/httpd"
)

// Routes adds the routes of a feed's owner, and the feeds themselves, which are not part of the API.
func Routes(s *httpd.Server, svc *Service) {
	h := handlers{svc}
	const tag = "Me"
	none := []int{http.StatusNotFound}
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/me/calendar", Tag: tag, Summary: "Create a calendar feed",
		Status: http.StatusCreated,
		Description: "Add the `url` to a calendar program (iCalendar): it shows when your appointments are, with a link " +
			"to each, and nothing else about them. Cancelled ones are left out. The address needs no " +
			"sign-in, so treat it like a password. It is shown only once. An earlier " +
			"feed stops working.",
		Access: httpd.SignedIn,
	}, h.serveCreate)
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/me/calendar", Tag: tag, Summary: "Get my calendar feed",
		Access: httpd.SignedIn, Errors: none,
	}, h.serveGet)
	httpd.Register(s, httpd.Route{
		Method: http.MethodDelete, Path: "/me/calendar", Tag: tag, Summary: "Revoke my calendar feed",
		Access: httpd.SignedIn, Errors: none,
	}, h.serveRevoke)
	s.Router().Get("/calendar/:secret.ics", h.serveRead)
}

type handlers struct{ svc *Service }

type createOutput struct {
	Body struct {
		URL       string    `json:"url" doc:"Shown only once"`
		CreatedAt time.Time `json:"createdAt"`
	}
}

func (h handlers) serveCreate(ctx context.Context, _ *struct{}) (*createOutput, error) {
	address, link, err := h.svc.Create(ctx, httpd.Actor(ctx))
	if err != nil {
		return nil, err
	}
	out := &createOutput{}
	out.Body.URL, out.Body.CreatedAt = address, link.CreatedAt.UTC()
	return out, nil
}

type getOutput struct {
	Body struct {
		CreatedAt  time.Time  `json:"createdAt"`
		LastReadAt *time.Time `json:"lastReadAt" doc:"Accurate to about a minute; null if it was never read"`
	}
}

func (h handlers) serveGet(ctx context.Context, _ *struct{}) (*getOutput, error) {
	link, err := h.svc.Get(ctx, httpd.Actor(ctx))
	if err != nil {
		return nil, err
	}
	out := &getOutput{}
	out.Body.CreatedAt = link.CreatedAt.UTC()
	if link.LastReadAt != nil {
		at := link.LastReadAt.UTC()
		out.Body.LastReadAt = &at
	}
	return out, nil
}

func (h handlers) serveRevoke(ctx context.Context, _ *struct{}) (*struct{}, error) {
	return nil, h.svc.Revoke(ctx, httpd.Actor(ctx))
}

// serveRead answers a calendar program. The secret is a parameter of the path, so it is in no log and no metric.
func (h handlers) serveRead(c *fiber.Ctx) error {
	d, err := h.svc.Read(c.UserContext(), c.Params("secret"), httpd.ClientFrom(c.UserContext()))
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderCacheControl, "private, no-cache") // may be cached, but is revalidated each time
	c.Vary(fiber.HeaderAcceptEncoding)
	compressed := takesGzip(c.Get(fiber.HeaderAcceptEncoding))
	if compressed {
		d.ETag = strings.TrimSuffix(d.ETag, `"`) + gzipTag // another representation has another tag (RFC 9110, 8.8.3.3)
	}
	c.Set(fiber.HeaderETag, d.ETag)
	if !d.LastModified.IsZero() {
		c.Set(fiber.HeaderLastModified, d.LastModified.Format(http.TimeFormat))
	}
	if d.known(c.Get(fiber.HeaderIfNoneMatch), c.Get(fiber.HeaderIfModifiedSince)) {
		c.Status(http.StatusNotModified)
		return nil
	}
	c.Set(fiber.HeaderContentType, "text/calendar; charset=utf-8")
	c.Set(fiber.HeaderContentDisposition, `attachment; filename="appointments.ics"`)
	if !compressed {
		return c.Send(d.Content)
	}
	c.Set(fiber.HeaderContentEncoding, "gzip")
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(d.Content) // a buffer takes everything
	_ = w.Close()
	return c.Send(b.Bytes())
}

// gzipTag ends the ETag of a document that is compressed.
const gzipTag = `-gzip"`

// takesGzip reads a request's Accept-Encoding (RFC 9110, 12.5.3).
func takesGzip(accept string) bool {
	takes := false
	for coding := range strings.SplitSeq(strings.ToLower(accept), ",") {
		name, weight, _ := strings.Cut(coding, ";")
		name, weight = strings.TrimSpace(name), strings.ReplaceAll(weight, " ", "")
		refused := strings.HasPrefix(weight, "q=0") && strings.Trim(weight[3:], ".0") == ""
		switch name {
		case "gzip", "x-gzip":
			return !refused
		case "*":
			takes = !refused
		}
	}
	return takes
}

// plain returns the tag of the document as it is without compression.
func plain(tag string) string {
	if whole, ok := strings.CutSuffix(tag, gzipTag); ok {
		return whole + `"`
	}
	return tag
}

// known reports, from the conditions of a request (RFC 9110, 13.2.2), whether the client already has the document.
// Fiber's own Fresh is wrong about clients that send both conditions with the very time they were given: it takes
// their document for an older one.
func (d Document) known(ifNoneMatch, ifModifiedSince string) bool {
	if ifNoneMatch != "" {
		for tag := range strings.SplitSeq(ifNoneMatch, ",") {
			// The content is the same, compressed or not.
			if tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/"); plain(tag) == plain(d.ETag) || tag == "*" {
				return true
			}
		}
		return false
	}
	since, err := http.ParseTime(ifModifiedSince)
	return err == nil && !d.LastModified.IsZero() && !d.LastModified.After(since)
}
