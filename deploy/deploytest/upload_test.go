package deploytest

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// An upload reaches the instance while it is still being sent, and may be larger than other bodies.
func TestBalancer_Uploads(t *testing.T) {
	t.Parallel()
	const size = 10 << 20
	begun := make(chan struct{})
	got := make(chan int64, 1)
	instance := startStandIn(t, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadFull(r.Body, make([]byte, 1000)); err != nil {
			return
		}
		close(begun)
		n, _ := io.Copy(io.Discard, r.Body)
		got <- n + 1000
		w.WriteHeader(http.StatusCreated)
	})
	b := startBalancer(t, instance.address, instance.address)
	url := b.url + "/api/v1/appointments/APP1/attachments"

	body, client := io.Pipe()
	sent := make(chan error, 1)
	go func() {
		_, err := client.Write(make([]byte, 100_000))
		<-begun
		if err == nil {
			_, err = client.Write(make([]byte, size-100_000))
		}
		sent <- err
		_ = client.Close()
	}()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, body)
	require.NoError(t, err)
	req.ContentLength = size
	resp, err := webClient(t).Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusCreated, resp.StatusCode)
	require.NoError(t, <-sent)
	require.EqualValues(t, size, <-got)

	large := ask(t, http.MethodPost, url, bytes.NewReader(make([]byte, 13<<20)), nil)
	require.Equal(t, http.StatusRequestEntityTooLarge, large.status)
	require.Contains(t, large.body, `"code":"too_large"`)
	elsewhere := ask(t, http.MethodPost, b.url+"/api/v1/appointments/APP1/messages",
		strings.NewReader(strings.Repeat("x", 3<<20)), nil)
	require.Equal(t, http.StatusRequestEntityTooLarge, elsewhere.status)
}
