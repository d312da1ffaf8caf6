package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
)

// ErrSeal means that a text was not sealed by this service, or was sealed for another purpose.
var ErrSeal = errors.New("auth: not sealed by this service for this purpose")

// Sealer encrypts small values that leave the service, or are stored in its tables, and that only the service itself
// reads: cursors of lists, tokens that wait in a job, answers that hold secrets. AES-256-GCM (NIST SP 800-38D) with
// random nonces, under keys derived (HKDF, RFC 5869) from the token secrets: the first seals, all open.
type Sealer struct{ keys []cipher.AEAD }

// NewSealer derives the keys; secrets must not be empty.
func NewSealer(secrets [][]byte) (*Sealer, error) {
	if len(secrets) == 0 {
		return nil, errors.New("auth: sealing needs a secret")
	}
	s := &Sealer{}
	for _, secret := range secrets {
		key, err := hkdf.Key(sha256.New, secret, nil, "housecall seal", 32)
		if err != nil {
			return nil, fmt.Errorf("derive the sealing key: %w", err)
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("derive the sealing key: %w", err)
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, fmt.Errorf("derive the sealing key: %w", err)
		}
		s.keys = append(s.keys, aead)
	}
	return s, nil
}

// Seal returns plain as URL-safe text that opens for the same purpose only. The same plain seals differently each
// time.
func (s *Sealer) Seal(purpose string, plain []byte) string {
	aead := s.keys[0]
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	_, _ = rand.Read(nonce) // never fails since Go 1.24
	return base64.RawURLEncoding.EncodeToString(aead.Seal(nonce, nonce, plain, []byte(purpose)))
}

// Open returns what was sealed for the purpose under any of the secrets; ErrSeal for anything else.
func (s *Sealer) Open(purpose, sealed string) ([]byte, error) {
	raw, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return nil, ErrSeal
	}
	for _, aead := range s.keys {
		if len(raw) < aead.NonceSize() {
			return nil, ErrSeal
		}
		nonce, box := raw[:aead.NonceSize()], raw[aead.NonceSize():]
		if plain, err := aead.Open(nil, nonce, box, []byte(purpose)); err == nil {
			return plain, nil
		}
	}
	return nil, ErrSeal
}
