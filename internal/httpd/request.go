package httpd

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"housecall/internal/auth"
)

// userAgentMax is how many bytes of a User-Agent are kept.
const userAgentMax = 200

// Client describes who sent a request, as far as the connection tells.
type Client struct {
	// Address is the client's IP address: the peer's, or the one that trusted proxies name. It may be empty.
	Address string
	// UserAgent is printable UTF-8, cut to 200 bytes.
	UserAgent string
	// RequestID identifies the request in logs, in problems and in the audit trail.
	RequestID string
}

// request is what the middleware knows about a request; the context carries it.
type request struct {
	client Client
	cause  error // of a 5xx, for the access log
	sealer *auth.Sealer
	list   string // what cursors are sealed for; "" outside of registered routes
	stream Stream // nil if the server has read the body
}

// Network returns what limits count as one address: an IPv6 customer can choose from a whole /64.
func (c Client) Network() string {
	a, err := netip.ParseAddr(c.Address)
	if err != nil || a.Unmap().Is4() {
		return c.Address
	}
	p, _ := a.WithZone("").Prefix(64) // 64 bits always fit
	return p.String()
}

type requestKey struct{}

func requestFrom(ctx context.Context) *request {
	r, _ := ctx.Value(requestKey{}).(*request)
	return r
}

// ClientFrom returns the client of a request; empty outside of a request.
func ClientFrom(ctx context.Context) Client {
	if r := requestFrom(ctx); r != nil {
		return r.client
	}
	return Client{}
}

func (s *Server) newRequest(c *fiber.Ctx) *request {
	return &request{sealer: s.sealer, client: Client{
		Address: s.address(c), UserAgent: printable(c.Get(fiber.HeaderUserAgent)),
		RequestID: requestID(c.Get(fiber.HeaderXRequestID)),
	}}
}

// requestID uses the caller's id if it is sane, so that traces continue, and makes one otherwise.
func requestID(given string) string {
	ok := len(given) >= 8 && len(given) <= 64
	for i := 0; ok && i < len(given); i++ {
		b := given[i]
		ok = b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b == '-' || b == '_' || b == '.'
	}
	if ok {
		return given
	}
	return uuid.NewString()
}

// printable drops what PostgreSQL cannot store or a terminal must not get.
func printable(s string) string {
	s = strings.ToValidUTF8(s, "")
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, s)
	for len(s) > userAgentMax {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}

// address reads X-Forwarded-For from the right, where the proxies that we trust have written, and stops at the first
// address that is not theirs: anyone can invent what is further left.
func (s *Server) address(c *fiber.Ctx) string {
	tcp, ok := c.Context().RemoteAddr().(*net.TCPAddr)
	if !ok {
		return ""
	}
	peer, ok := netip.AddrFromSlice(tcp.IP)
	if !ok {
		return ""
	}
	peer = peer.Unmap()
	if !s.trusted(peer) {
		return peer.String()
	}
	// Some proxies add a line of their own instead of extending the client's.
	lines := bytes.Join(c.Request().Header.PeekAll(fiber.HeaderXForwardedFor), []byte(","))
	hops := strings.Split(string(lines), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		peer = hop.Unmap().WithZone("")
		if !s.trusted(peer) {
			break
		}
	}
	return peer.String()
}

func (s *Server) trusted(a netip.Addr) bool {
	for _, p := range s.proxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func parseProxies(list []string) ([]netip.Prefix, error) {
	out := make([]netip.Prefix, 0, len(list))
	for _, text := range list {
		if p, err := netip.ParsePrefix(text); err == nil {
			out = append(out, p.Masked())
			continue
		}
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("httpd: trusted proxies must be addresses or ranges")
		}
		out = append(out, netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()))
	}
	return out, nil
}
