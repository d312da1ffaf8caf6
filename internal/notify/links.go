package notify

import (
	"net/url"

	"housecall/internal/config"
)

// links are where mails lead. What a token opens are the pages of ui; token gives their addresses.
type links struct {
	base  string
	token func(path, token string) string
}

func (l links) home() string { return l.base + config.HomePath }

func (l links) appointment(publicID string) string {
	return l.base + config.AppointmentsPath + "/" + url.PathEscape(publicID)
}

func (l links) inbox() string { return l.base + config.InboxPath }

func (l links) offer(id string) string {
	return l.base + config.WaitlistPath + "/" + url.PathEscape(id)
}
