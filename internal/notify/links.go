package notify

import "net/url"

// links are where mails lead. What a token opens are the pages of ui; token gives their addresses.
type links struct {
	base  string
	token func(path, token string) string
}

func (l links) home() string { return l.base + "/" }

func (l links) appointment(publicID string) string {
	return l.base + "/appointments/" + url.PathEscape(publicID)
}

func (l links) inbox() string { return l.base + "/inbox" }

func (l links) offer(id string) string { return l.base + "/waitlist/" + url.PathEscape(id) }
