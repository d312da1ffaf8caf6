package app

import (
	"context"

	"housecall/internal/appointment"
	"housecall/internal/attachment"
	"housecall/internal/auth"
	"housecall/internal/blob"
	"housecall/internal/chat"
	"housecall/internal/config"
	"housecall/internal/conversation"
)

// conversations tells package attachment who may do what in a conversation.
type conversations struct{ *conversation.Service }

var _ attachment.Conversations = conversations{}

// Readable implements attachment.Conversations.
func (c conversations) Readable(
	ctx context.Context, actor auth.Actor, appointmentID string,
) (attachment.Conversation, error) {
	r, err := c.Service.Readable(ctx, actor, appointmentID)
	return conversationOf(r), err
}

// Writable implements attachment.Conversations.
func (c conversations) Writable(
	ctx context.Context, actor auth.Actor, appointmentID string,
) (attachment.Conversation, error) {
	r, err := c.Service.Writable(ctx, actor, appointmentID)
	return conversationOf(r), err
}

func conversationOf(r conversation.Reading) attachment.Conversation {
	a := r.Appointment()
	return attachment.Conversation{ID: a.ID, AppointmentID: a.PublicID, PatientID: a.Patient.ID, Glass: r.Observer()}
}

// conversationsOf is what package appointment needs of conversations, before there is a service of either.
type conversationsOf struct {
	*conversation.Log
	chat.Counts
}

var _ appointment.Conversations = conversationsOf{}

// openBlobs opens the store of the files that people send: S3 if configured, otherwise a folder.
func openBlobs(cfg config.Config) (blob.Store, error) {
	if cfg.S3Endpoint == "" {
		return blob.NewFolder(cfg.AttachmentsDir), nil
	}
	o, err := s3Options(cfg)
	if err != nil {
		return nil, err
	}
	return blob.NewS3(o)
}
