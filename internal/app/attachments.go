package app

import (
	"context"

	"housecall/internal/appointment"
	"housecall/internal/attachment"
	"housecall/internal/auth"
	"housecall/internal/blob"
	"housecall/internal/chat"
	"housecall/internal/config"
)

// conversations tells attachment who may do what in a conversation.
type conversations struct {
	chat         *chat.Service
	appointments *appointment.Service
}

var _ attachment.Conversations = conversations{}

// Readable implements attachment.Conversations.
func (c conversations) Readable(
	ctx context.Context, actor auth.Actor, appointmentID string,
) (attachment.Conversation, error) {
	r, err := c.chat.Readable(ctx, actor, appointmentID)
	if err != nil {
		return attachment.Conversation{}, err
	}
	return conversationOf(r.Appointment, r.Glass), nil
}

// Writable implements attachment.Conversations.
func (c conversations) Writable(
	ctx context.Context, actor auth.Actor, appointmentID string,
) (attachment.Conversation, error) {
	a, err := c.chat.Find(ctx, actor, appointmentID)
	if err != nil {
		return attachment.Conversation{}, err
	}
	views, err := c.appointments.Views(ctx, actor, a)
	if err != nil {
		return attachment.Conversation{}, err
	}
	if !views[0].CanReply {
		return attachment.Conversation{}, chat.ErrClosed
	}
	return conversationOf(a, false), nil
}

// Retracted implements attachment.Conversations.
func (c conversations) Retracted(ctx context.Context, conversation int64, seqs []int64) (map[int64]bool, error) {
	return c.chat.Retracted(ctx, conversation, seqs)
}

func conversationOf(a appointment.Appointment, glass bool) attachment.Conversation {
	return attachment.Conversation{ID: a.ID, AppointmentID: a.PublicID, PatientID: a.Patient.ID, Glass: glass}
}

// openBlobs is where files of conversations are kept.
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
