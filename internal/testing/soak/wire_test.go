package soak

import (
	"bufio"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// socket is a WebSocket client written from RFC 6455, so that the tests do not share the assumptions of the service
// and its reference client.
type socket struct {
	tcp *net.TCPConn
	in  *bufio.Reader

	mu sync.Mutex // guards writes
}

// refusal is a refused upgrade or request.
type refusal struct {
	status int
	code   string
}

func (r *refusal) Error() string { return fmt.Sprintf("refused with %d %s", r.status, r.code) }

const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10
)

// dial opens a socket. If the service refuses, the error is a *refusal.
func dial(addr, path, token string, within time.Duration) (*socket, error) {
	conn, err := net.DialTimeout("tcp", addr, within)
	if err != nil {
		return nil, err
	}
	s := &socket{tcp: conn.(*net.TCPConn), in: bufio.NewReader(conn)}
	if err := s.upgrade(addr, path, token, within); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return s, nil
}

func (s *socket) upgrade(addr, path, token string, within time.Duration) error {
	var key [16]byte
	_, _ = rand.Read(key[:]) // never fails
	request := fmt.Sprintf(
		"GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"+
			"Sec-WebSocket-Protocol: housecall.v1\r\nSec-WebSocket-Key: %s\r\nAuthorization: Bearer %s\r\n\r\n",
		path, addr, base64.StdEncoding.EncodeToString(key[:]), token,
	)
	if err := s.tcp.SetDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	if _, err := io.WriteString(s.tcp, request); err != nil {
		return err
	}
	resp, err := http.ReadResponse(s.in, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // the status is enough
		return &refusal{resp.StatusCode, codeOf(body)}
	}
	return s.tcp.SetDeadline(time.Time{})
}

// codeOf returns the code of a problem document, or "".
func codeOf(body []byte) string {
	var problem struct {
		Code string `json:"code"`
	}
	_ = json.Unmarshal(body, &problem) // other answers have no code
	return problem.Code
}

// send sends a text frame.
func (s *socket) send(v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.frame(opText, body)
}

func (s *socket) frame(op byte, body []byte) error {
	buf := []byte{0x80 | op}
	if len(body) < 126 {
		buf = append(buf, 0x80|byte(len(body)))
	} else {
		buf = append(buf, 0x80|126)
		buf = binary.BigEndian.AppendUint16(buf, uint16(len(body)))
	}
	var mask [4]byte
	_, _ = rand.Read(mask[:]) // never fails
	buf = append(buf, mask[:]...)
	for i, b := range body {
		buf = append(buf, b^mask[i%4])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.tcp.SetWriteDeadline(time.Now().Add(calm)); err != nil {
		return err
	}
	_, err := s.tcp.Write(buf)
	return err
}

var errClosed = errors.New("the server closed")

// read returns the next text frame and answers pings before it; errClosed after a close frame.
func (s *socket) read() ([]byte, error) {
	for {
		var head [2]byte
		if _, err := io.ReadFull(s.in, head[:]); err != nil {
			return nil, err
		}
		if head[0]&0xF0 != 0x80 || head[1]&0x80 != 0 {
			return nil, fmt.Errorf("a frame of the server begins with %x: fragmented, extended or masked", head)
		}
		size := uint64(head[1])
		switch size {
		case 126:
			var long [2]byte
			if _, err := io.ReadFull(s.in, long[:]); err != nil {
				return nil, err
			}
			size = uint64(binary.BigEndian.Uint16(long[:]))
		case 127:
			return nil, errors.New("a frame of the server is larger than the protocol allows")
		}
		body := make([]byte, size)
		if _, err := io.ReadFull(s.in, body); err != nil {
			return nil, err
		}
		switch head[0] & 0x0F {
		case opText:
			return body, nil
		case opPing:
			if err := s.frame(opPong, body); err != nil {
				return nil, err
			}
		case opClose:
			return nil, errClosed
		}
	}
}

// cut ends the connection as a broken network does, without a goodbye.
func (s *socket) cut() {
	_ = s.tcp.SetLinger(0) // so that the peer gets a reset, not a close
	_ = s.tcp.Close()
}
