// Package attachment keeps the files of conversations: pictures, PDFs and plain text. A file is uploaded first, when
// only its uploader sees it, and then sent by a message, which binds it for good when the message commits. Files that
// were never sent are swept. The bytes are in a blob.Store, everything else about them is in PostgreSQL.
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
	// unfinishedAge is when an upload that has not ended never will, because its process died. It is far longer than any
	// upload may take.
	unfinishedAge = time.Hour
	// atOncePerUser is how many uploads of one user one instance takes at once.
	atOncePerUser = 4
	// MaxPixels is the most pixels that a picture may have: anybody who looks at it has to hold them in memory.
	MaxPixels = 100_000_000
	// ThumbnailEdge is the greatest length of a thumbnail's longer edge, in pixels.
	ThumbnailEdge = 320
)

// Attachment is a file of a conversation. It exists for others once StoredAt is set.
type Attachment struct {
	ID             uuid.UUID
	ConversationID int64
	UploaderID     int64
	Uploader       string // public id
	Name           string // safe for any file system and any header; see safeName
	MediaType      string // detected from the content; see sniff
	SizeBytes      int64
	SHA256         []byte // of the content
	Width          *int   // of a picture, in pixels as displayed
	Height         *int
	Thumbnail      bool
	CreatedAt      time.Time
	StoredAt       *time.Time
	Seq            *int64 // of the message that sent it; nil: none has
}

// Sum is the SHA-256 in hexadecimal digits.
func (a Attachment) Sum() string { return hex.EncodeToString(a.SHA256) }

// Keys of an attachment's blobs.
func (a Attachment) contentKey() string   { return a.ID.String() }
func (a Attachment) thumbnailKey() string { return a.ID.String() + ".thumbnail" }

// Refusals of an upload.
var (
	ErrUnsupported = errs.New(errs.UnsupportedType, "unsupported_type",
		"This file type is not supported. Send a picture (PNG, JPEG, GIF, WebP), a PDF, or plain text in UTF-8.")
	ErrDamaged = errs.New(errs.UnsupportedType, "unsupported_type",
		"The picture is damaged, or its format is not supported.")
	ErrPixels     = errs.New(errs.TooLarge, "too_large", "The picture is too large. The limit is 100 million pixels.")
	ErrEmpty      = errs.New(errs.Invalid, "empty", "The file is empty.")
	ErrIncomplete = errs.New(errs.BadRequest, "incomplete", "The upload was interrupted. Send the file again.")
	ErrBusy       = &errs.Error{
		Kind: errs.RateLimited, Code: "rate_limited", RetryAfter: 2 * time.Second,
		Message: "Too many uploads at once. Wait a moment and send the file again.",
	}
	errStoreAway = &errs.Error{
		Kind: errs.Unavailable, Code: "unavailable", RetryAfter: 5 * time.Second,
		Message: "Files are unavailable right now. Try again shortly.",
	}
)

// tooLarge is the refusal of a file of more than most bytes.
func tooLarge(most int64) error {
	return errs.New(errs.TooLarge, "too_large",
		fmt.Sprintf("The file is too large. The limit is %s.", bytesInWords(most)))
}

func bytesInWords(n int64) string {
	if n%(1<<20) == 0 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d bytes", n)
}

// quota is the refusal of one file more than most in a day; wait is how long until another one fits.
func quota(most int, wait time.Duration) error {
	return &errs.Error{
		Kind: errs.RateLimited, Code: "quota", RetryAfter: max(wait, time.Second),
		Message: fmt.Sprintf("A conversation can have %d new files in 24 hours. Send this one later.", most),
	}
}

// unreachable is a failure of the store, which is not the client's fault.
func unreachable(cause error) error {
	e := *errStoreAway
	e.Err = cause
	return &e
}
