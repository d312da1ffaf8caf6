package app

import (
	"cmp"
	"fmt"
	"strings"

	"housecall/internal/account"
	"housecall/internal/appointment"
	"housecall/internal/assistant"
	"housecall/internal/attachment"
	"housecall/internal/blob"
	"housecall/internal/calendar"
	"housecall/internal/chat"
	"housecall/internal/config"
	"housecall/internal/conversation"
	"housecall/internal/doctor"
	"housecall/internal/httpd"
	"housecall/internal/idempotency"
	"housecall/internal/jobs"
	"housecall/internal/mail"
	"housecall/internal/notify"
	"housecall/internal/preference"
	"housecall/internal/schedule"
	"housecall/internal/transcript"
)

// The functions below make each package's options from the configuration.

func accountOptions(c config.Config) account.Options {
	return account.Options{
		Secrets: c.Secrets(), RefreshTTL: c.RefreshTTL, LegacyTTL: c.LegacyTTL, InviteTTL: c.InviteTTL,
		VerifyTTL: c.VerifyTTL, ResetTTL: c.ResetTTL, RequestTimeout: c.RequestTimeout,
		LoginsPerAccount: c.LoginsPerAccount, LoginsPerAddress: c.LoginsPerAddress,
		RegistersPerAddress: c.RegistersPerAddress,
	}
}

func doctorOptions(c config.Config) doctor.Options {
	return doctor.Options{PhoneRegion: c.PhoneRegion, Collation: c.NameCollation}
}

func appointmentOptions(c config.Config) appointment.Options {
	return appointment.Options{
		Zone:    c.ClinicZone.Location,
		HoldTTL: c.HoldTTL, OfferTTL: c.OfferTTL, RequestTTL: c.RequestTTL, CompleteAfter: c.CompleteAfter,
		CancellationWindow: c.CancellationWindow, FollowUpWindow: c.FollowUpWindow, MaxUpcoming: c.MaxUpcoming,
		MaxOpenRequests: c.MaxOpenRequests, MaxHolds: c.MaxHolds,
	}
}

func scheduleOptions(c config.Config) schedule.Options {
	o := schedule.Options{
		Zone: c.ClinicZone.Location, SlotMinutes: c.ClinicSlotMinutes, Notice: c.BookingNotice, Horizon: c.BookingHorizon,
	}
	for _, v := range c.ClinicHours {
		o.Hours = append(o.Hours, schedule.Clock(v))
	}
	return o
}

func preferenceOptions(c config.Config) preference.Options {
	return preference.Options{Zone: c.ClinicZone.Location}
}

func idempotencyOptions(c config.Config) idempotency.Options {
	return idempotency.Options{RequestTimeout: c.RequestTimeout}
}

func conversationOptions(c config.Config) conversation.Options {
	return conversation.Options{
		CommitLanes: c.CommitLanes, FollowUp: c.FollowUpWindow, Zone: c.ClinicZone.Location, ClinicNotice: c.Notice(),
		PerSecond: c.ConversationMessagesPerSecond, UserPerSecond: c.UserMessagesPerSecond,
	}
}

func chatOptions(c config.Config) chat.Options {
	return chat.Options{
		BusNamespace:          c.RedisNamespace,
		RequestTimeout:        c.RequestTimeout,
		UnreadAfter:           c.UnreadAfter,
		PerSecond:             c.MessagesPerSecond,
		UserPerSecond:         c.UserMessagesPerSecond,
		ConversationPerSecond: c.ConversationMessagesPerSecond,
		SocketsPerUser:        c.SocketsPerUser,
		SocketsPerAddress:     c.SocketsPerAddress,
		PublicURL:             c.PublicURL,
		ClinicNotice:          c.Notice(),
	}
}

func transcriptOptions(c config.Config) transcript.Options {
	return transcript.Options{Zone: c.ClinicZone.Location}
}

func attachmentOptions(c config.Config) attachment.Options {
	return attachment.Options{
		MaxBytes: int64(c.AttachmentBytes), PerDay: c.AttachmentsPerDay, PerMinute: c.UploadsPerMinute,
		AtOnce: c.UploadsAtOnce, UploadTimeout: c.UploadTimeout,
	}
}

// s3Options returns the options for the S3-compatible store that S3_ENDPOINT names.
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

func calendarOptions(c config.Config) calendar.Options {
	return calendar.Options{PublicURL: c.PublicURL, Horizon: c.BookingHorizon, Organizer: organizer(c)}
}

// organizer returns the clinic as the organizer in calendars.
func organizer(c config.Config) calendar.Party {
	from := c.Sender()
	return calendar.Party{Name: cmp.Or(from.Name, "Housecall"), Email: from.Address}
}

func notifyOptions(c config.Config) notify.Options {
	return notify.Options{
		Domain: mail.Domain(c.Sender()), Zone: c.ClinicZone.Location, Clinic: organizer(c).Name,
	}
}

// mailServer returns the mail server that SMTP_URL names.
func mailServer(c config.Config) (mail.Server, error) {
	s, err := config.ParseSMTP(c.SMTPURL)
	if err != nil {
		return mail.Server{}, fmt.Errorf("%sSMTP_URL %w", config.Prefix, err)
	}
	return mail.Server{
		Host: s.Host, Port: s.Port, User: s.User, Password: s.Password.Reveal(), Implicit: s.Implicit, Plain: s.Plain,
	}, nil
}

// assistantOptions returns the options of the assistant; without a model it is off.
func assistantOptions(c config.Config) (assistant.Options, error) {
	o := assistant.Options{
		Key: c.AssistantKey.Reveal(), Model: c.AssistantModel, Timeout: c.AssistantTimeout,
		PerHour: c.AssistantPerHour, AtOnce: c.AssistantAtOnce, Emergency: c.ClinicEmergency,
	}
	if c.AssistantURL == "" {
		return o, nil
	}
	endpoint, protocol, err := config.ParseAssistant(c.AssistantURL, c.AssistantAPI)
	if err != nil {
		return assistant.Options{}, fmt.Errorf("%sASSISTANT_URL %w", config.Prefix, err)
	}
	o.Endpoint, o.API = endpoint, assistant.API(protocol)
	return o, nil
}

func jobsOptions(c config.Config) jobs.Options {
	return jobs.Options{Workers: c.JobWorkers, PollOnly: c.JobsPollOnly}
}

func httpdOptions(c config.Config) httpd.Options {
	return httpd.Options{
		BodyLimit:      c.BodyLimit,
		RequestTimeout: c.RequestTimeout,
		Origins:        c.Origins(),
		TrustedProxies: c.TrustedProxies,
		CursorSecrets:  c.Secrets(),
		HTTPS:          strings.HasPrefix(c.PublicURL, "https://"),
		Version:        Version,
	}
}
