// Package blob keeps bytes under keys: in a folder, or in an S3-compatible store. It does not know what they mean.
package blob

import (
	"context"
	"errors"
	"io"
	"regexp"
)

// Store keeps blobs. It is safe for use by several goroutines, and by several instances at once on one folder or
// bucket.
//
// Errors are ErrNotFound, ErrKey, the context's, what the given reader fails with, or the store's own, which say what
// was tried and why it failed, without the key's content, credentials or paths.
type Store interface {
	// Put reads r to its end and keeps what it read under the key, durably: once it returns nil, the blob outlives the
	// process. Readers see a blob whole or not at all; one that was there is replaced. It takes a bounded amount of
	// memory, whatever the size, which it returns. When it fails, there is no new blob; remains that nobody sees are
	// removed by Delete.
	Put(ctx context.Context, key string, r io.Reader) (size int64, err error)
	// Open reads length bytes from offset on, less where the blob ends before; a negative length means to its end.
	// ErrNotFound if there is no such blob. ctx lasts until the reader is closed, which is the caller's duty.
	Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error)
	// Delete removes a blob and what a Put that failed may have left of one. That there is none is no error.
	Delete(ctx context.Context, key string) error
}

var (
	// ErrNotFound is a blob that is not there.
	ErrNotFound = errors.New("blob: not found")
	// ErrKey is a key that could not be one.
	ErrKey = errors.New("blob: a key has 4 to 100 of a-z, 0-9, - and ., begins and ends with a letter or digit, " +
		"and has no two dots in a row")
)

var keyForm = regexp.MustCompile(`^[a-z0-9]{4}(?:\.?[a-z0-9-]){0,96}$`)

// checkKey keeps keys such that they are safe as names of files and in URLs.
func checkKey(key string) error {
	if len(key) > 100 || !keyForm.MatchString(key) || key[len(key)-1] == '-' {
		return ErrKey
	}
	return nil
}

// contextual makes reading end with a context.
type contextual struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (c contextual) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
