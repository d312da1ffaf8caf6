package app

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/client"
	"housecall/internal/config"
	"housecall/internal/testing/pgtest"
)

// A file is uploaded on one instance, and announced and downloaded on another, until it is retracted.
func TestApp_Attachments(t *testing.T) {
	t.Parallel()
	t.Run("folder", func(t *testing.T) {
		t.Parallel()
		shareFile(t)
	})
	t.Run("S3", func(t *testing.T) {
		t.Parallel()
		store := pgtest.S3(t)
		shareFile(t, func(c *config.Config) {
			c.S3Endpoint, c.S3Bucket, c.S3PathStyle = "http://"+store.Addr(), store.Bucket, true
			c.S3AccessKey, c.S3SecretKey = config.Secret(store.AccessKey), config.Secret(store.SecretKey)
		})
	})
}

func shareFile(t *testing.T, change ...func(*config.Config)) {
	t.Helper()
	w := newWorld(t, 2, change...)
	patient, doctor, appointment := w.pair()
	var content bytes.Buffer
	require.NoError(t, png.Encode(&content, image.NewGray(image.Rect(0, 0, 400, 200))))
	up, err := patient.Upload(w.context(), appointment, "knee.png", bytes.NewReader(content.Bytes()))
	require.NoError(t, err)
	require.Equal(t, []any{"knee.png", "image/png", 400, 200, true},
		[]any{up.Name, up.MediaType, up.Width, up.Height, up.Thumbnail})
	path := "/api/v1/appointments/" + appointment + "/attachments/" + up.ID
	require.Equal(t, 404, w.call(1, w.token(doctor), "GET", path, "").status, "it is not sent yet")

	reader := w.dial(1, w.token(doctor), appointment, "")
	reader.next("live")
	writer := w.dial(0, w.token(patient), appointment, "")
	writer.next("live")
	writer.write(object{"type": "send", "clientId": client.NewClientID(), "attachmentId": up.ID})
	event := nextEvent(reader)
	require.Equal(t, "attachment", event.Kind)
	require.Equal(t, up, *event.Attachment, "the event has the same file as the answer to the upload")

	var got bytes.Buffer
	require.NoError(t, doctor.Download(w.context(), appointment, up.ID, &got))
	require.Equal(t, content.Bytes(), got.Bytes())
	for who, status := range map[string]int{w.token(w.person(auth.Doctor).at(0)): 404, w.token(w.person(auth.Admin).at(0)): 404, "": 401} {
		require.Equal(t, status, w.call(1, who, "GET", path, "").status)
		require.Equal(t, status, w.call(1, who, "GET", path+"/thumbnail", "").status)
	}
	writer.write(object{"type": "retract", "clientId": client.NewClientID(), "target": event.Seq})
	require.Equal(t, "retraction", nextEvent(reader).Kind)
	require.Equal(t, 404, w.call(1, w.token(doctor), "GET", path, "").status)
	require.Equal(t, 404, w.call(0, w.token(patient), "GET", path+"/thumbnail", "").status)

	_, err = doctor.Cancel(w.context(), appointment, "better")
	require.NoError(t, err)
	var refused *client.Problem
	_, err = patient.Upload(w.context(), appointment, "knee.txt", strings.NewReader("late"))
	require.ErrorAs(t, err, &refused)
	require.Equal(t, http.StatusConflict, refused.Status)
	require.NotContains(t, w.log.String(), "knee")
	require.NotContains(t, w.log.String(), fmt.Sprint(up.ID))
	found, err := filepath.Glob(filepath.Join(w.cfg.AttachmentsDir, "*", "*", "*"))
	require.NoError(t, err)
	require.Equal(t, w.cfg.S3Endpoint == "", len(found) == 2, "%d files", len(found))
}

// nextEvent returns the next event and skips other frames.
func nextEvent(s *socket) client.Event {
	s.t.Helper()
	for {
		var f struct {
			Type string `json:"type"`
			client.Event
		}
		require.NoError(s.t, s.ReadJSON(&f))
		if f.Type == "event" {
			return f.Event
		}
	}
}
