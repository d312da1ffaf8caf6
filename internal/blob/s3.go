package blob

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

const (
	// partSize is the smallest part that S3 accepts, and what one Put of a larger blob holds in memory.
	partSize = 5 << 20
	// onePut is the size below which a blob is sent in one request.
	onePut = 1 << 20
	// answering is how long the store may take to begin its answer to one request.
	answering = 15 * time.Second
	// attempts is how often a request is tried; a body that comes from a client cannot be sent again.
	attempts = 3
)

// S3Options say where a store is. Host is a name or address, with a port unless it is the usual one.
type S3Options struct {
	Host, Bucket, Region string
	Secure               bool // TLS
	AccessKey, SecretKey string
	// PathStyle puts the bucket into the path of requests instead of the host name.
	PathStyle bool
}

// S3 keeps blobs as objects of a bucket, over the S3 protocol with signatures of version 4.
type S3 struct {
	core      minio.Core
	bucket    string
	transport *http.Transport
}

var _ Store = (*S3)(nil)

// NewS3 makes a store. It connects only when it is used.
func NewS3(o S3Options) (*S3, error) {
	transport, err := minio.DefaultTransport(o.Secure)
	if err != nil {
		return nil, fmt.Errorf("prepare the S3 store: %w", err)
	}
	transport.ResponseHeaderTimeout = answering
	lookup := minio.BucketLookupDNS
	if o.PathStyle {
		lookup = minio.BucketLookupPath
	}
	client, err := minio.New(o.Host, &minio.Options{
		Creds: credentials.NewStaticV4(o.AccessKey, o.SecretKey,
			""), Secure: o.Secure, Region: o.Region, BucketLookup: lookup,
		Transport: transport, MaxRetries: attempts,
	})
	if err != nil {
		return nil, fmt.Errorf("prepare the S3 store: %w", err)
	}
	return &S3{core: minio.Core{Client: client}, bucket: o.Bucket, transport: transport}, nil
}

// Close ends idle connections.
func (s *S3) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}

// Put implements Store. A small blob is sent in one request. A larger one is uploaded in parts, since its size is not
// known before its end; if that fails, the library aborts the upload.
func (s *S3) Put(ctx context.Context, key string, r io.Reader) (int64, error) {
	if err := checkKey(key); err != nil {
		return 0, err
	}
	from := &source{r: contextual{ctx, r}}
	var begin bytes.Buffer
	n, err := io.CopyN(&begin, from, onePut)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("read a blob: %w", err)
	}
	var body io.Reader = bytes.NewReader(begin.Bytes())
	if err == nil {
		body, n = io.MultiReader(body, from), -1
	}
	info, err := s.core.Client.PutObject(ctx, s.bucket, key, body, n, minio.PutObjectOptions{
		ContentType: "application/octet-stream", PartSize: partSize,
	})
	switch {
	case from.failed != nil:
		return 0, fmt.Errorf("read a blob: %w", from.failed)
	case err != nil:
		return 0, fmt.Errorf("write a blob: %w", plain(ctx, err))
	}
	return info.Size, nil
}

// source remembers its reader's error, which the library does not always return.
type source struct {
	r      io.Reader
	failed error
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.failed = err
	}
	return n, err
}

// Open implements Store.
func (s *S3) Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	var o minio.GetObjectOptions
	if err := setRange(&o, offset, length); err != nil {
		return nil, fmt.Errorf("open a blob: %w", err)
	}
	body, _, _, err := s.core.GetObject(ctx, s.bucket, key, o)
	if err == nil {
		if length == 0 { // S3 has no empty ranges
			return struct {
				io.Reader
				io.Closer
			}{http.NoBody, body}, nil
		}
		return body, nil
	}
	switch minio.ToErrorResponse(err).Code {
	case minio.NoSuchKey:
		return nil, ErrNotFound
	case minio.InvalidRange:
		return http.NoBody, nil // as with files
	}
	return nil, fmt.Errorf("open a blob: %w", plain(ctx, err))
}

func setRange(o *minio.GetObjectOptions, offset, length int64) error {
	switch {
	case length > 0:
		return o.SetRange(offset, offset+length-1)
	case length == 0:
		return o.SetRange(offset, offset)
	case offset > 0:
		return o.SetRange(offset, 0)
	}
	return nil
}

// Delete implements Store.
func (s *S3) Delete(ctx context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if err := s.core.RemoveObject(ctx, s.bucket, key,
		minio.RemoveObjectOptions{}); err != nil && minio.ToErrorResponse(err).Code != minio.NoSuchKey {
		return fmt.Errorf("remove a blob: %w", plain(ctx, err))
	}
	err := s.core.RemoveIncompleteUpload(ctx, s.bucket, key)
	if code := minio.ToErrorResponse(err).Code; err != nil && code != minio.NoSuchKey && code != minio.NoSuchUpload {
		return fmt.Errorf("remove a blob's parts: %w", plain(ctx, err))
	}
	return nil
}

// Check implements Store. A bucket that does not exist would otherwise be found by the first upload, or be made by it,
// as some stores do.
func (s *S3) Check(ctx context.Context) error {
	there, err := s.core.BucketExists(ctx, s.bucket)
	if minio.ToErrorResponse(err).StatusCode == http.StatusForbidden {
		// The answer to a HEAD does not say why; the one to a GET of an object that is not there does.
		var body io.ReadCloser
		if body, _, _, err = s.core.GetObject(ctx, s.bucket, checked, minio.GetObjectOptions{}); err == nil {
			err = body.Close()
		}
		there = err == nil || minio.ToErrorResponse(err).Code == minio.NoSuchKey
	}
	switch {
	case there:
		return nil
	case err == nil:
		return fmt.Errorf("look for the bucket: %w: the store has no such bucket", ErrRefused)
	default:
		return fmt.Errorf("look for the bucket: %w", plain(ctx, err))
	}
}

// checked is a key that no blob has.
const checked = "check."

// lasting tells whether an answer will come again until the configuration is changed: a wrong bucket, region or key. It
// goes by the status, as stores have codes of their own, and never by a missing object.
func lasting(answer minio.ErrorResponse) bool {
	switch answer.Code {
	case minio.NoSuchKey, minio.NoSuchUpload:
		return false
	case "AuthorizationHeaderMalformed", "InvalidBucketName":
		return true
	}
	switch answer.StatusCode {
	case http.StatusMovedPermanently, http.StatusPermanentRedirect,
		http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		return true
	}
	return false
}

// plain returns err without addresses, keys and signatures, as ErrRefused if another attempt will fail as well.
func plain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if answer := minio.ToErrorResponse(err); answer.Code != "" && answer.StatusCode != 0 {
		if lasting(answer) {
			return fmt.Errorf("%w: the store answered %d %s", ErrRefused, answer.StatusCode, answer.Code)
		}
		return fmt.Errorf("the store answered %d %s", answer.StatusCode, answer.Code)
	}
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		return fmt.Errorf("%w: the store's certificate is not trusted", ErrRefused)
	}
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
