package notify

import "net/url"

// links are where mails lead. A token stands behind #: browsers keep that part to themselves, so that it is in no
// server's log and no Referer.
type links struct{ base string }

func (l links) home() string { return l.base + "/" }

func (l links) appointment(publicID string) string {
	return l.base + "/appointments/" + url.PathEscape(publicID)
}

func (l links) inbox() string { return l.base + "/inbox" }

func (l links) offer(id string) string { return l.base + "/waitlist/" + url.PathEscape(id) }

func (l links) invitation(token string) string {
	return l.base + "/invitation#" + url.PathEscape(token)
}

func (l links) reset(token string) string { return l.base + "/reset#" + url.PathEscape(token) }

func (l links) verify(token string) string { return l.base + "/verify#" + url.PathEscape(token) }
