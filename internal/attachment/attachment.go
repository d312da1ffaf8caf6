// Package attachment keeps the files of conversations: pictures, PDFs and plain text. A file is first uploaded; then
// only its uploader sees it. When a message that sends it is committed, the file belongs to that message permanently.
// A sweep deletes files that were never sent. The bytes are in a blob.Store, everything else is in PostgreSQL.
package attachment

import (
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"housecall/internal/blob"
	"housecall/internal/errs"
)

const (
	// day is the window of a conversation's quota.
	day = 24 * time.Hour
	// orphanAge is how long after its upload a file can be sent.
	orphanAge = 24 * time.Hour
	// unfinishedAge is the age at which an unfinished upload counts as dead, because its process died. It is far
	// longer than any upload may take.
	unfinishedAge = time.Hour
	// atOncePerUser is how many uploads one user can have under way on one instance.
	atOncePerUser = 4
	// MaxPixels is how many pixels a picture may have: everybody who looks at it needs memory for them.
	MaxPixels = 100_000_000
	// ThumbnailEdge is the maximum length of a thumbnail's longer edge, in pixels.
	ThumbnailEdge = 320
)

// Attachment is a file of a conversation. It is complete once StoredAt is set.
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
	Seq            *int64 // of the message that sent it; nil: it was not sent
}

// Sum returns the SHA-256 in hexadecimal digits.
func (a Attachment) Sum() string { return hex.EncodeToString(a.SHA256) }

// Keys of an attachment's blobs.
func (a Attachment) contentKey() string   { return a.ID.String() }
func (a Attachment) thumbnailKey() string { return a.ID.String() + ".thumbnail" }

// Refusals of an upload; what is not supported is in refusal.go.
var (
	ErrPixels = errs.New(errs.TooLarge, "too_large",
		"The picture has too many pixels. The limit is 100 million. Save it at a smaller size, for example half as wide "+
			"and half as high, and send that.")
	ErrEmpty = errs.New(errs.Invalid, "empty",
		"The file is empty. Open it to see what it should contain, or choose another one.")
	ErrIncomplete = errs.New(errs.BadRequest, "incomplete", "The upload was interrupted. Send the file again.")
	ErrBusy       = &errs.Error{
		Kind: errs.RateLimited, Code: "rate_limited", RetryAfter: 2 * time.Second,
		Message: "Too many uploads at once. Wait a moment and send the file again.",
	}
	errStoreAway = &errs.Error{
		Kind: errs.Unavailable, Code: "unavailable", RetryAfter: 5 * time.Second,
		Message: "Files are unavailable right now. Try again shortly.",
	}
	errStoreRefuses = &errs.Error{
		Kind: errs.Unavailable, Code: "store_refused", RetryAfter: 10 * time.Minute,
		Message: "The clinic's store of files does not work. Messages without files do. Please tell the clinic.",
	}
)

// tooLarge refuses a file of more than most bytes.
func tooLarge(k Kind, most int64) error {
	do := "Divide it into several files, and send them one by one."
	switch {
	case k.Picture:
		do = "Save the picture at a smaller size or a lower quality, and send that."
	case k.MediaType == pdf.MediaType:
		do = "Save it with smaller pictures, or divide it, and send the parts one by one."
	}
	return errs.New(errs.TooLarge, "too_large",
		fmt.Sprintf("The file is too large. The limit is %s. %s", bytesInWords(most), do))
}

func bytesInWords(n int64) string {
	if n%(1<<20) == 0 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d bytes", n)
}

// quota refuses a file beyond the most that are allowed in a day; wait is how long until another one fits.
func quota(most int, wait time.Duration) error {
	return &errs.Error{
		Kind: errs.RateLimited, Code: "quota", RetryAfter: max(wait, time.Second),
		Message: fmt.Sprintf("A conversation can have %d new files in 24 hours. Send this one later.", most),
	}
}

// unreachable reports a failure of the store, which is not the client's fault.
func unreachable(cause error) error {
	e := *errStoreAway
	if errors.Is(cause, blob.ErrRefused) {
		e = *errStoreRefuses
	}
	e.Err = cause
	return &e
}
