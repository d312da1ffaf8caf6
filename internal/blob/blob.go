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
// Errors are ErrNotFound, ErrKey, the context's, the given reader's, or the store's own. Those say what was tried and
// why it failed, without keys, credentials or paths; if another attempt will fail as well, they are ErrRefused.
type Store interface {
	// Put reads r to its end, stores what it read under the key, and returns the size in bytes. It replaces an earlier
	// blob. Once it returns nil, the blob outlives the process. Readers see a blob whole or not at all. It needs a
	// bounded amount of memory, whatever the size. If it fails, there is no new blob; Delete removes what the attempt may
	// have left.
	Put(ctx context.Context, key string, r io.Reader) (size int64, err error)
	// Open reads length bytes from offset on, or fewer if the blob ends before; a negative length means to its end.
	// ErrNotFound if there is no such blob. The caller must close the reader; ctx applies until then.
	Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error)
	// Delete removes a blob, and what a failed Put may have left of one. It is no error if there is none.
	Delete(ctx context.Context, key string) error
	// Check tells whether the store can be used as it is configured. Nothing of it stays.
	Check(ctx context.Context) error
}

var (
	// ErrNotFound means that there is no such blob.
	ErrNotFound = errors.New("blob: not found")
	// ErrRefused means that the store will not work until somebody changes its configuration: there is no such bucket, or
	// the credentials are wrong.
	ErrRefused = errors.New("blob: refused")
	// ErrKey means that a key is malformed.
	ErrKey = errors.New("blob: a key has 4 to 100 of a-z, 0-9, - and ., begins and ends with a letter or digit, " +
		"and has no two dots in a row")
)

var keyForm = regexp.MustCompile(`^[a-z0-9]{4}(?:\.?[a-z0-9-]){0,96}$`)

// checkKey accepts only keys that are safe as file names and in URLs.
func checkKey(key string) error {
	if len(key) > 100 || !keyForm.MatchString(key) || key[len(key)-1] == '-' {
		return ErrKey
	}
	return nil
}

// contextual is a reader that fails once its context has ended.
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
