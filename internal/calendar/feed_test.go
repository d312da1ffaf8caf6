package calendar

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
)

// A feed that cannot hold everything keeps what is to come, the next first.
func TestRoutes_TooMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.user(pat, auth.Doctor)
	var all []Appointment
	for i := range maxEvents + 10 { // those that were booked last, and come first in lists, are the furthest away
		all = append(all, visit(fmt.Sprintf("APP%010d", i), "BOOKED", 1, w.time().Add(time.Duration(maxEvents+10-i)*time.Minute)))
	}
	yesterday := visit("APP9999999999", "COMPLETED", 1, w.time().Add(-24*time.Hour))
	w.diary.set(id, append(all, yesterday)...)
	feed := string(w.reads(w.make(pat)).Raw)
	require.Equal(t, maxEvents, strings.Count(feed, "BEGIN:VEVENT"))
	require.Contains(t, feed, all[len(all)-1].PublicID, "the next")
	require.NotContains(t, feed, all[9].PublicID)
	require.Contains(t, feed, all[10].PublicID)
	require.NotContains(t, feed, yesterday.PublicID)

	w.diary.set(id, append(all[20:], yesterday, visit("APP8888888888", "COMPLETED", 1, w.time().Add(-48*time.Hour)))...)
	feed = string(w.reads(w.make(pat)).Raw)
	require.Contains(t, feed, yesterday.PublicID)
}

// A feed is compressed for those who take that, under a tag of its own, and what either tag stands for is known.
func TestRoutes_Compressed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.diary.set(w.user(pat, auth.Patient), visit("APP0000000001", "BOOKED", 1, tuesday))
	address := w.make(pat)
	whole := w.reads(address, "Accept-Encoding", "identity")
	require.Empty(t, whole.Header.Get("Content-Encoding"))
	for accept, compressed := range map[string]bool{
		"gzip": true, "br, GZIP;q=0.5": true, "*": true, "gzip;q=0": false, "gzip; q=0.0, *": false, "deflate, br": false,
		"*;q=0": false, "gzip;q=0.01": true,
	} {
		got := w.reads(address, "Accept-Encoding", accept)
		require.Equal(t, http.StatusOK, got.Status)
		if !compressed {
			require.Equal(t, whole.ETag(), got.ETag(), accept)
			require.Equal(t, whole.Raw, got.Raw)
			continue
		}
		require.Equal(t, "gzip", got.Header.Get("Content-Encoding"), accept)
		require.NotEqual(t, whole.ETag(), got.ETag())
		r, err := gzip.NewReader(bytes.NewReader(got.Raw))
		require.NoError(t, err)
		content, err := io.ReadAll(r)
		require.NoError(t, err)
		require.Equal(t, whole.Raw, content)
		for _, tag := range []string{got.ETag(), whole.ETag(), "W/" + got.ETag()} {
			again := w.reads(address, "Accept-Encoding", accept, "If-None-Match", tag)
			require.Equal(t, http.StatusNotModified, again.Status, tag)
			require.Equal(t, got.ETag(), again.ETag())
		}
	}
	require.Equal(t, http.StatusNotModified, w.reads(address, "Accept-Encoding", "identity", "If-None-Match",
		strings.TrimSuffix(whole.ETag(), `"`)+gzipTag).Status)
}
