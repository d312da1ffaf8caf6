package app

import (
	"housecall/internal/attachment"
	"housecall/internal/config"
)

func attachmentOptions(c config.Config) attachment.Options {
	return attachment.Options{
		MaxBytes: int64(c.AttachmentBytes), PerDay: c.AttachmentsPerDay, PerMinute: c.UploadsPerMinute,
		AtOnce: c.UploadsAtOnce, UploadTimeout: c.UploadTimeout,
	}
}
