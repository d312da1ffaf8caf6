package app

import (
	"fmt"

	"housecall/internal/blob"
	"housecall/internal/config"
)

// s3Options says where the S3-compatible store is that S3_ENDPOINT names.
func s3Options(c config.Config) (blob.S3Options, error) {
	host, secure, err := config.ParseS3(c.S3Endpoint)
	if err != nil {
		return blob.S3Options{}, fmt.Errorf("%sS3_ENDPOINT: %w", config.Prefix, err)
	}
	return blob.S3Options{
		Host: host, Secure: secure, Bucket: c.S3Bucket, Region: c.S3Region, PathStyle: c.S3PathStyle,
		AccessKey: c.S3AccessKey.Reveal(), SecretKey: c.S3SecretKey.Reveal(),
	}, nil
}
