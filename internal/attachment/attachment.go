// Package attachment keeps the files of conversations: pictures, PDF and plain text. A file is uploaded first, which makes
// it its uploader's, and then sent by a message, which binds it for good; chat does that when the message commits. What
// was never sent is swept. The bytes are in a blob.Store, what is known of them in PostgreSQL.
package attachment

import (
	"encoding/hex"
	"fmt"
	"time"

	"github.com/google/uuid"

	"housecall/internal/errs"
)

const (
	// day is the window of a conversation's quota.
	day = 24 * time.Hour
	// orphanAge is how long an upload waits to be sent.
	orphanAge = 24 * time.Hour
	// unfinishedAge is when an upload that has not ended never will: its process died. It is far above
	// config.MaxUploadTimeout.
	unfinishedAge = time.Hour
	// atOncePerUser is how many uploads of one user one instance takes at once.
	atOncePerUser = 4
	// MaxPixels is how many a picture has at most: whoever looks at it has to hold them in memory.
	MaxPixels = 100_000_000
	// ThumbnailEdge is how long the longer edge of a thumbnail is at most, in pixels.
	ThumbnailEdge = 320
)

// Attachment is a file of a conversation. It is there once StoredAt is set.
type Attachment struct {
	ID         uuid.UUID
	RoomID     int64
	UploaderID int64
	Uploader   string // public id
	Name       string // fit for any file system and any header; see safeName
	MediaType  string // found in the content, see sniff
	SizeBytes  int64
	SHA256     []byte // of the content
	Width      *int   // pixels as it is to be shown, of pictures
	Height     *int
	Thumbnail  bool
	CreatedAt  time.Time
	StoredAt   *time.Time
	Seq        *int64 // of the message that sends it; nil: none does
}

// Sum is the SHA-256 in hexadecimal digits.
func (a Attachment) Sum() string { return hex.EncodeToString(a.SHA256) }

// Keys of an attachment's blobs.
func (a Attachment) contentKey() string   { return a.ID.String() }
func (a Attachment) thumbnailKey() string { return a.ID.String() + ".thumbnail" }

// Refusals of an upload.
var (
	ErrUnsupported = errs.New(errs.UnsupportedType, "unsupported_type",
		"This kind of file is not taken. Send a picture (PNG, JPEG, GIF, WebP), a PDF, or plain text in UTF-8.")
	ErrDamaged    = errs.New(errs.UnsupportedType, "unsupported_type", "The picture is damaged, or of a kind that is not taken.")
	ErrPixels     = errs.New(errs.TooLarge, "too_large", "The picture has too many pixels: at most 100 million are taken.")
	ErrEmpty      = errs.New(errs.Invalid, "empty", "The file is empty.")
	ErrIncomplete = errs.New(errs.BadRequest, "incomplete", "The upload broke off. Send the file again.")
	ErrBusy       = &errs.Error{
		Kind: errs.RateLimited, Code: "rate_limited", Message: "Too many uploads at once. Wait a moment and send the file again.",
		RetryAfter: 2 * time.Second,
	}
	errStoreAway = &errs.Error{
		Kind: errs.Unavailable, Code: "unavailable", Message: "Files cannot be reached right now. Try again shortly.", RetryAfter: 5 * time.Second,
	}
)

// tooLarge is the refusal of a file above most bytes.
func tooLarge(most int64) error {
	return errs.New(errs.TooLarge, "too_large", fmt.Sprintf("The file is too large: at most %s are taken.", bytesInWords(most)))
}

func bytesInWords(n int64) string {
	if n%(1<<20) == 0 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d bytes", n)
}

// quota is the refusal of one file more than most in a day; wait is until there is room for another.
func quota(most int, wait time.Duration) error {
	return &errs.Error{
		Kind: errs.RateLimited, Code: "quota", RetryAfter: max(wait, time.Second),
		Message: fmt.Sprintf("A conversation takes %d files in 24 hours. Send this one later.", most),
	}
}

// unreachable is a failure of the store, for which the client is not to blame.
func unreachable(cause error) error {
	e := *errStoreAway
	e.Err = cause
	return &e
}
