package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"time"
)

// NewSecret makes an unguessable secret of 256 bits that is safe in a URL: the token of an emailed link, a refresh
// token, the address of a calendar feed. It is shown to its owner once. Only the fingerprint is stored.
func NewSecret() (secret string, fingerprint []byte) {
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails since Go 1.24
	secret = base64.RawURLEncoding.EncodeToString(raw[:])
	return secret, Fingerprint(secret)
}

// Fingerprint returns the hash by which a secret is stored and looked up. A secret has 256 random bits, so a plain
// hash is enough; since the hash has no key, links and feeds outlive every change of the token secrets.
func Fingerprint(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// Reference returns a short name for what parts identify, without revealing the parts, some of which may be secret.
// The same parts always have the same name, but a different one for each purpose.
func Reference(purpose string, parts ...string) string {
	sum := sha256.Sum256([]byte("housecall " + purpose + "\x00" + strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:12])
}

// Link is what an emailed link carries: a secret token, and the time until which it works.
type Link struct {
	Token   string
	Expires time.Time
}

// NewLink makes a link that works until a time.
func NewLink(expires time.Time) Link {
	token, _ := NewSecret()
	return Link{Token: token, Expires: expires}
}

// Fingerprint returns what is stored of the link.
func (l Link) Fingerprint() []byte { return Fingerprint(l.Token) }
