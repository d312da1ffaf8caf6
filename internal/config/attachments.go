package config

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
	"time"
)

const (
	// mostAttachmentBytes is about the most that one request can sensibly carry.
	mostAttachmentBytes = 100 << 20
	// MaxUploadTimeout is far below the hour after which a sweep removes what a crash left of an upload.
	MaxUploadTimeout = 30 * time.Minute
)

// bucket is a name that S3 accepts.
var bucket = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

func (c Config) validateAttachments(v *problems) {
	v.require("ATTACHMENT_BYTES", c.AttachmentBytes >= 1 && c.AttachmentBytes <= mostAttachmentBytes,
		"must be 1 to 104857600")
	v.require("UPLOAD_TIMEOUT", c.UploadTimeout > 0 && c.UploadTimeout <= MaxUploadTimeout,
		"must be positive and at most 30m")
	if c.S3Endpoint == "" {
		v.require("ATTACHMENTS_DIR", isFolder(c.AttachmentsDir), "must be a folder, unless S3_ENDPOINT is set")
		return
	}
	_, _, err := ParseS3(c.S3Endpoint)
	v.require("S3_ENDPOINT", err == nil, "must be a URL such as https://s3.example.com, without a path")
	v.require("S3_BUCKET", bucket.MatchString(c.S3Bucket) && !strings.Contains(c.S3Bucket, ".."),
		"must be the name of a bucket if S3_ENDPOINT is set")
	v.require("S3_REGION", namespace.MatchString(c.S3Region), "must be a region such as eu-central-1")
	v.require("S3_ACCESS_KEY", c.S3AccessKey != "", "must be set if S3_ENDPOINT is")
	v.require("S3_SECRET_KEY", c.S3SecretKey != "", "must be set if S3_ENDPOINT is")
}

var errS3 = errors.New("is not https://host, or http://host")

// ParseS3 reads the URL of an S3-compatible store: its host, with a port if it has one, and whether it speaks TLS.
func ParseS3(endpoint string) (host string, secure bool, err error) {
	if !isOrigin(strings.TrimSuffix(endpoint, "/")) {
		return "", false, errS3
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Hostname() == "" {
		return "", false, errS3
	}
	return u.Host, u.Scheme == "https", nil
}
