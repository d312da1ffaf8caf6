package client

import (
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
)

// Attachment is a file of a conversation.
type Attachment struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	MediaType string `json:"mediaType"`
	Size      int64  `json:"size"` // bytes
	SHA256    string `json:"sha256"`
	Width     int    `json:"width"` // pixels, of images
	Height    int    `json:"height"`
	Thumbnail bool   `json:"thumbnail"`
}

// Upload uploads a file; a message must send it (Conversation.SendFile) within a day. r is streamed and read only
// once, so a failed upload is not retried.
func (a *API) Upload(ctx context.Context, appointmentID, name string, r io.Reader) (Attachment, error) {
	token, err := a.Token(ctx)
	if err != nil {
		return Attachment{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, fileTimeout)
	defer cancel()
	body, form := io.Pipe()
	defer func() { _ = body.Close() }() // releases the writer if the request ends early
	parts := multipart.NewWriter(form)
	go func() { _ = form.CloseWithError(writeFile(parts, name, r)) }() // CloseWithError returns nil
	address := a.address(appointmentPath(appointmentID) + "/attachments")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, body)
	if err != nil {
		return Attachment{}, fmt.Errorf("upload: %w", err)
	}
	req.Header.Set("Content-Type", parts.FormDataContentType())
	var out Attachment
	err = a.do(req, token, &out)
	return out, err
}

func writeFile(parts *multipart.Writer, name string, r io.Reader) error {
	part, err := parts.CreateFormFile("file", name)
	if err != nil {
		return err
	}
	if _, err := io.Copy(part, r); err != nil {
		return err
	}
	return parts.Close()
}

// Download writes a file of a conversation to w. After an error, w may hold part of it.
func (a *API) Download(ctx context.Context, appointmentID, attachmentID string, w io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, fileTimeout)
	defer cancel()
	path := appointmentPath(appointmentID) + "/attachments/" + url.PathEscape(attachmentID)
	return a.signedIn(ctx, func(token string) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.address(path), http.NoBody)
		if err != nil {
			return fmt.Errorf("download: %w", err)
		}
		return a.do(req, token, w)
	})
}
