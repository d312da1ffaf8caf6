package account

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
)

// successors derive the refresh token that follows another one. The successor is a function of its predecessor: a
// client whose answer got lost, or whose two tabs refresh at once, gets the same token again, although only hashes are
// stored. Nobody can compute it without the key.
type successors [][]byte

// deriveSuccessors makes a key from each token secret (HKDF, RFC 5869), so that neither can be used in place of the
// other.
func deriveSuccessors(secrets [][]byte) (successors, error) {
	keys := make(successors, len(secrets))
	for i, secret := range secrets {
		key, err := hkdf.Key(sha256.New, secret, nil, "housecall refresh token successor", sha256.Size)
		if err != nil {
			return nil, fmt.Errorf("derive the refresh key: %w", err)
		}
		keys[i] = key
	}
	return keys, nil
}

// of returns the successor of token under each key, the current one first: the secret may have been replaced in
// between.
func (k successors) of(token string) []string {
	out := make([]string, len(k))
	for i, key := range k {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(token))
		out[i] = base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	return out
}
