package app

import (
	"housecall/internal/chat"
	"housecall/internal/config"
	"housecall/internal/conversation"
	"housecall/internal/transcript"
)

func conversationOptions(c config.Config) conversation.Options {
	return conversation.Options{
		CommitLanes: c.CommitLanes, FollowUp: c.FollowUpWindow, Zone: c.Zone(), ClinicNotice: c.Notice(),
		PerSecond: c.RoomMessagesPerSecond, UserPerSecond: c.UserMessagesPerSecond,
	}
}

func chatOptions(c config.Config) chat.Options {
	return chat.Options{
		BusNamespace:          c.RedisNamespace,
		RequestTimeout:        c.RequestTimeout,
		UnreadAfter:           c.UnreadAfter,
		PerSecond:             c.MessagesPerSecond,
		UserPerSecond:         c.UserMessagesPerSecond,
		ConversationPerSecond: c.RoomMessagesPerSecond,
		SocketsPerUser:        c.SocketsPerUser,
		SocketsPerAddress:     c.SocketsPerAddress,
		Origins:               c.Origins(),
		PublicURL:             c.PublicURL,
		ClinicNotice:          c.Notice(),
	}
}

func transcriptOptions(c config.Config) transcript.Options {
	return transcript.Options{Zone: c.Zone()}
}
