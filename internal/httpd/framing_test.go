package httpd_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// raw sends bytes over a connection of their own and returns all that is answered. end says that the client sends
// nothing else.
func (h *house) raw(t *testing.T, request string) []answer {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	require.NoError(t, err)
	defer c.Close()
	_, err = io.WriteString(c, request)
	require.NoError(t, err, "the client was cut off while it was sending")
	var all []answer
	r := bufio.NewReader(c)
	for {
		response, err := http.ReadResponse(r, nil)
		if err != nil {
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			return all
		}
		b, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		all = append(all, answer{response, string(b)})
		if len(all) == 1 && response.Close {
			continue // nothing else may come
		}
	}
}

// next is a request after which the server closes the connection.
const next = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

// What RFC 9112 says to refuse is refused, and what follows it on the connection is not read as a request.
func TestServer_Framing(t *testing.T) {
	t.Parallel()
	h := start(t)
	const length = "Content-Length: 2\r\n"
	for name, c := range map[string]struct {
		head   string // without the empty line
		body   string
		status int
	}{
		"plain":                    {"GET /healthz HTTP/1.1\r\nHost: x\r\n", "", 200},
		"HTTP/1.0 without a host":  {"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n", "", 200},
		"empty lines before":       {"\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n", "", 200},
		"as many as may be":        {strings.Repeat("\r\n", 16) + "GET /healthz HTTP/1.1\r\nHost: x\r\n", "", 200},
		"too many empty lines":     {strings.Repeat("\r\n", 17) + "GET /healthz HTTP/1.1\r\nHost: x\r\n", "", 400},
		"nothing but empty lines":  {strings.Repeat("\r\n", 8000), "", 400},
		"absolute form":            {"GET http://x/healthz HTTP/1.1\r\nHost: x\r\n", "", 200},
		"empty host":               {"GET /healthz HTTP/1.1\r\nHost:\r\n", "", 200},
		"a body to a GET":          {"GET /healthz HTTP/1.1\r\nHost: x\r\n" + length, "{}", 200},
		"a body":                   {"POST /api/v1/items HTTP/1.1\r\nHost: x\r\n" + length, "{}", 422},
		"lists in several lines":   {"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: a\r\nConnection: b\r\n", "", 200},
		"no host":                  {"GET /healthz HTTP/1.1\r\n", "", 400},
		"two hosts":                {"GET /healthz HTTP/1.1\r\nHost: x\r\nHost: x\r\n", "", 400},
		"a host that is none":      {"GET /healthz HTTP/1.1\r\nHost: x/y\r\n", "", 400},
		"space before the colon":   {"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A : b\r\n", "", 400},
		"a continued line":         {"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: b\r\n c\r\n", "", 400},
		"no colon":                 {"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A\r\n", "", 400},
		"no name":                  {"GET /healthz HTTP/1.1\r\nHost: x\r\n: a\r\n", "", 400},
		"a bare line feed":         {"GET /healthz HTTP/1.1\r\nHost: x\nX-A: b\r\n", "", 400},
		"a bare carriage return":   {"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: b\rc\r\n", "", 400},
		"a NUL":                    {"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: \x00\r\n", "", 400},
		"two spaces":               {"GET  /healthz HTTP/1.1\r\nHost: x\r\n", "", 400},
		"a tab for a space":        {"GET\t/healthz HTTP/1.1\r\nHost: x\r\n", "", 400},
		"a method without end":     {strings.Repeat("M", 33) + " /healthz HTTP/1.1\r\nHost: x\r\n", "", 400},
		"no version":               {"GET /healthz\r\nHost: x\r\n", "", 400},
		"another version":          {"GET /healthz HTTP/1.7\r\nHost: x\r\n", "", 400},
		"length and coding":        {"POST /api/v1/items HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n" + length, "0\r\n\r\n", 400},
		"two lengths":              {"POST /api/v1/items HTTP/1.1\r\nHost: x\r\n" + length + length, "{}", 400},
		"a list of lengths":        {"POST /api/v1/items HTTP/1.1\r\nHost: x\r\nContent-Length: 2, 2\r\n", "{}", 400},
		"a length with a sign":     {"POST /api/v1/items HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n", "{}", 400},
		"an empty length":          {"POST /api/v1/items HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n", "", 400},
		"a coding in HTTP/1.0":     {"POST /api/v1/items HTTP/1.0\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", 400},
		"chunked is not last":      {"POST /api/v1/items HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n", 400},
		"an unknown coding before": {"POST /api/v1/items HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: x, chunked\r\n", "0\r\n\r\n", 400},
		"identity":                 {"POST /api/v1/items HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n", "", 400},
		"two codings":              {"POST /api/v1/items HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := h.raw(t, c.head+"\r\n"+c.body+next)
			require.Equal(t, c.status, all[0].StatusCode, all[0].body)
			if c.status == 400 {
				require.Len(t, all, 1)
				require.True(t, all[0].Close)
				require.Contains(t, all[0].body, `"code":"bad_request"`)
				return
			}
			require.Len(t, all, 2)
			require.Equal(t, 200, all[1].StatusCode)
		})
	}
	for _, connection := range []string{"Close", "close, x", "x, CLOSE", "x\r\nConnection: close", "close\r\nConnection: x"} {
		all := h.raw(t, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: "+connection+"\r\n\r\n"+next)
		require.Len(t, all, 1, connection)
		require.Equal(t, 200, all[0].StatusCode)
		require.True(t, all[0].Close)
	}
	// Where a chunked body ends, the connection ends too.
	all := h.raw(t, "POST /api/v1/items HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"+
		"d\r\n{\"name\":\"ab\"}\r\n0\r\n\r\n"+next)
	require.Len(t, all, 1)
	require.Equal(t, 201, all[0].StatusCode)
	require.True(t, all[0].Close)
}

// An empty line behind a body, after which nothing comes, is no request: it is neither answered nor logged.
func TestServer_StrayEmptyLine(t *testing.T) {
	t.Parallel()
	h := start(t)
	c, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	require.NoError(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "POST /api/v1/items HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n{\"name\":\"ab\"}\r\n")
	require.NoError(t, err)
	r := bufio.NewReader(c)
	response, err := http.ReadResponse(r, nil)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, 201, response.StatusCode)
	require.NoError(t, c.(*net.TCPConn).CloseWrite())
	rest, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Empty(t, string(rest))
	require.Equal(t, 1, strings.Count(h.log.String(), `"message":"request"`))
}

// Cookies of a parent domain, and whatever else proxies add, do not lock anybody out.
func TestServer_LargeHeads(t *testing.T) {
	t.Parallel()
	h := start(t)
	cookies := "Cookie: " + strings.Repeat("name=value; ", 1100) + "a=b\r\n"
	head := "GET /api/v1/items/7?count=2&x=" + strings.Repeat("y", 1000) + " HTTP/1.1\r\nHost: x\r\n" + cookies +
		"User-Agent: " + strings.Repeat("u", 100) + "\r\nAuthorization: Bearer patient\r\nX-Request-Id: the-same-id\r\n"
	all := h.raw(t, head+"\r\n"+head+"Connection: close\r\n\r\n")
	require.Len(t, all, 2)
	for _, a := range all {
		got := item(t, a)
		require.Equal(t, "7", got.ID)
		require.Equal(t, strings.Repeat("u", 100), got.Client.UserAgent)
		require.Equal(t, "the-same-id", a.Header.Get("X-Request-Id"))
	}
}

// A head that is just small enough for fasthttp may not be once it is written anew.
func TestServer_HeadsOfTwoKilobytes(t *testing.T) {
	t.Parallel()
	h := start(t)
	for n := 195; n < 210; n++ {
		all := h.raw(t, "GET /healthz HTTP/1.1\r\nHost:x\r\nConnection:a\r\nConnection:close\r\n"+
			strings.Repeat("X-Abcd:\r\n", n)+"\r\n")
		require.Equal(t, 200, all[0].StatusCode, n)
	}
}

// A client that is still sending when it is refused gets to read why.
func TestServer_Lingers(t *testing.T) {
	t.Parallel()
	h := start(t)
	body := strings.Repeat("x", 8<<20)
	for status, head := range map[int]string{
		431: "X-Large: " + strings.Repeat("x", 20_000) + "\r\n",
		413: "",
		400: "Transfer-Encoding: x\r\n",
	} {
		all := h.raw(t, fmt.Sprintf("POST /api/v1/items HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n%s",
			head, len(body), body))
		require.Len(t, all, 1)
		require.Equal(t, status, all[0].StatusCode)
	}
}
