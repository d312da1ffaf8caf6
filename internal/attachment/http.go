package attachment

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/google/uuid"

	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/httpd/transfer"
)

// Body is an attachment as in events of the chat protocol. Huma leaves the fields of an embedded type out of the schema
// unless its name is exported.
type Body struct {
	ID        uuid.UUID `json:"id" format:"uuid"`
	Name      string    `json:"name" doc:"Safe for any file system, so it may differ from the name that was given."`
	MediaType string    `json:"mediaType" doc:"Detected from the content." enum:"image/png,image/jpeg,image/gif,image/webp,application/pdf,text/plain; charset=utf-8"`
	Size      int64     `json:"size" doc:"Bytes."`
	SHA256    string    `json:"sha256" doc:"SHA-256 of the content, in hexadecimal."`
	Width     int       `json:"width,omitempty" doc:"The width of an image, in pixels as displayed."`
	Height    int       `json:"height,omitempty"`
	Thumbnail bool      `json:"thumbnail,omitempty" doc:"Whether there is a thumbnail."`
}

func bodyOf(a Attachment) Body {
	b := Body{ID: a.ID, Name: a.Name, MediaType: a.MediaType, Size: a.SizeBytes, SHA256: a.Sum(), Thumbnail: a.Thumbnail}
	if a.Width != nil && a.Height != nil {
		b.Width, b.Height = *a.Width, *a.Height
	}
	return b
}

// sentBody is an attachment in a list.
type sentBody struct {
	Body
	Seq        int64     `json:"seq" doc:"The seq of the message that sent it."`
	Sender     string    `json:"sender" doc:"User id."`
	UploadedAt time.Time `json:"uploadedAt"`
	Retracted  bool      `json:"retracted,omitempty" doc:"Visible only with break-glass access."`
}

type uploadInput struct {
	ID   string `path:"id" maxLength:"20"`
	Name string `query:"name" maxLength:"1000" doc:"The file's name, if the body is the file itself."`
}

type uploadOutput struct {
	Location string `header:"Location"`
	Body     Body
}

type listInput struct {
	ID string `path:"id" maxLength:"20"`
	httpd.PageQuery
}

type listOutput struct{ Body httpd.Page[sentBody] }

type contentInput struct {
	ID           string `path:"id" maxLength:"20"`
	AttachmentID string `path:"attachmentId" maxLength:"36" format:"uuid"`
	Range        string `header:"Range" doc:"One range of bytes, to resume a download."`
}

// Routes adds the attachments of conversations to the API.
func Routes(s *httpd.Server, svc *Service) {
	h := handlers{svc, s}
	const tag = "chat"
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/appointments/{id}/attachments", Tag: tag,
		Summary: "Upload a file for a conversation",
		Description: "A picture (PNG, JPEG, GIF, WebP), a PDF or plain text in UTF-8; the type is detected from the " +
			"content, not from the name. The header of a PDF may stand anywhere in its first 1,024 bytes. A refusal " +
			"says what to send instead, in words for people. Send either multipart/form-data with one part, `file`, or the " +
			"file itself as the body, with `name`. Send a message with its `attachmentId` within 24 hours, or the file is " +
			"deleted. The number of files per conversation in 24 hours is limited (429 `quota`). An interrupted upload " +
			"leaves nothing behind and has to start again.",
		Status: http.StatusCreated, Access: httpd.SignedIn, Repeatable: true,
		Stream: transfer.Uploads{Limit: svc.d.Options.MaxBytes, Timeout: svc.d.Options.UploadTimeout},
		Errors: []int{
			http.StatusNotFound, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType,
			http.StatusUnprocessableEntity, http.StatusTooManyRequests,
		},
	}, h.serveUpload)
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/appointments/{id}/attachments", Tag: tag,
		Summary:     "List the files of a conversation",
		Description: "Only files that were sent and not retracted, newest first.", Access: httpd.SignedIn,
		Errors: []int{http.StatusNotFound},
	}, h.serveList)
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/appointments/{id}/attachments/{attachmentId}", Tag: tag, Summary: "Download a file",
		Description: "All of it, or one range (206, 416). If-Range, If-Match and If-None-Match are supported. The ETag is " +
			"the SHA-256. Only its uploader can see a file that was not sent yet; a retracted file is 404.",
		Access: httpd.SignedIn, Errors: []int{
			http.StatusNotFound, http.StatusPreconditionFailed, http.StatusRequestedRangeNotSatisfiable,
		},
		File: &httpd.File{Types: []string{
			"image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf", "text/plain",
		}},
	}, h.serveContent)
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/appointments/{id}/attachments/{attachmentId}/thumbnail", Tag: tag,
		Summary:     "Get the thumbnail of a file",
		Description: "An upright JPEG of at most 320 by 320 pixels; 404 unless `thumbnail` is true.", Access: httpd.SignedIn,
		Errors: []int{http.StatusNotFound, http.StatusPreconditionFailed, http.StatusRequestedRangeNotSatisfiable},
		File:   &httpd.File{Types: []string{jpeg.MediaType}},
	}, h.serveThumbnail)
}

type handlers struct {
	svc    *Service
	server *httpd.Server
}

func (h handlers) serveUpload(ctx context.Context, in *uploadInput) (*uploadOutput, error) {
	a, err := h.svc.Upload(ctx, httpd.Actor(ctx), in.ID, func() (File, error) {
		return fileIn(transfer.UploadOf(ctx), in.Name, h.svc.d.Options.MaxBytes)
	})
	if err != nil {
		return nil, err
	}
	return &uploadOutput{
		Location: httpd.APIPrefix + "/appointments/" + in.ID + "/attachments/" + a.ID.String(), Body: bodyOf(a),
	}, nil
}

func (h handlers) serveList(ctx context.Context, in *listInput) (*listOutput, error) {
	var before int64
	if err := httpd.DecodeCursor(ctx, in.Cursor, &before); err != nil {
		return nil, err
	}
	page, next, err := h.svc.List(ctx, httpd.Actor(ctx), in.ID, before, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &listOutput{}
	for _, a := range page {
		out.Body.Items = append(out.Body.Items, sentBody{
			Body: bodyOf(a.Attachment), Seq: *a.Seq, Sender: a.Uploader, UploadedAt: a.CreatedAt.UTC(), Retracted: a.Retracted,
		})
	}
	if next > 0 {
		out.Body.NextCursor = httpd.EncodeCursor(ctx, next)
	}
	return out, nil
}

func (h handlers) serveFind(ctx context.Context, in *contentInput) (Attachment, error) {
	id, err := uuid.Parse(in.AttachmentID)
	if err != nil {
		return Attachment{}, errs.Missing("attachment")
	}
	return h.svc.Find(ctx, httpd.Actor(ctx), in.ID, id)
}

func (h handlers) serveContent(ctx context.Context, in *contentInput) (*transfer.Download, error) {
	a, err := h.serveFind(ctx, in)
	if err != nil {
		return nil, err
	}
	return transfer.NewDownload(h.server, transfer.Content{
		Open: func(ctx context.Context, offset, length int64) (io.ReadCloser, error) {
			return h.svc.Content(ctx, a, offset, length)
		},
		Size: a.SizeBytes, ETag: `"` + a.Sum() + `"`, Type: a.MediaType, Disposition: Disposition("attachment", a.Name),
	}), nil
}

func (h handlers) serveThumbnail(ctx context.Context, in *contentInput) (*transfer.Download, error) {
	a, err := h.serveFind(ctx, in)
	if err != nil {
		return nil, err
	}
	small, err := h.svc.Thumbnail(ctx, a)
	if err != nil {
		return nil, err
	}
	name := strings.TrimSuffix(a.Name, path.Ext(a.Name)) + ".jpg"
	return transfer.NewDownload(h.server, transfer.Content{
		Open: func(_ context.Context, offset, length int64) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(small[offset : offset+length])), nil
		},
		// A thumbnail depends only on the content, so its tag can be derived from the content's.
		Size: int64(len(small)), ETag: `"` + a.Sum() + `-thumbnail"`, Type: jpeg.MediaType,
		Disposition: Disposition("inline", name),
	}), nil
}
