package auth

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	issuer   = "housecall"
	audience = "housecall.api"
)

// ErrToken is any token that does not hold: malformed, forged, expired, or meant for another audience. Which of
// these it was is nobody's business.
var ErrToken = errors.New("access token is not valid")

// Tokens issues and verifies access tokens (JWT, RFC 7519, HS256).
type Tokens struct {
	secrets [][]byte
	ttl     time.Duration
	now     func() time.Time
	parser  *jwt.Parser
}

// Claims are what an access token says. Whether its session still counts is in the database.
type Claims struct {
	UserID  string
	Session int64
	Role    Role
	Expires time.Time
}

type wireClaims struct {
	jwt.RegisteredClaims
	Session string `json:"sid"`
	Role    Role   `json:"role"`
}

// NewTokens signs with the first secret and accepts all of them, so that a secret can be replaced without
// signing everybody out.
func NewTokens(secrets [][]byte, ttl time.Duration, now func() time.Time) *Tokens {
	return &Tokens{
		secrets: secrets, ttl: ttl, now: now,
		parser: jwt.NewParser(
			jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithIssuer(issuer), jwt.WithAudience(audience),
			jwt.WithExpirationRequired(), jwt.WithTimeFunc(now),
		),
	}
}

// Issue makes an access token for the actor's session; it ends at expires.
func (t *Tokens) Issue(a Actor) (token string, expires time.Time, err error) {
	now := t.now()
	expires = now.Add(t.ttl).Truncate(time.Second)
	claims := wireClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: issuer, Audience: jwt.ClaimStrings{audience}, Subject: a.UserID,
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(expires),
		},
		Session: strconv.FormatInt(a.Session, 10), Role: a.Role,
	}
	token, err = jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(t.secrets[0])
	if err != nil {
		return "", time.Time{}, fmt.Errorf("sign access token: %w", err)
	}
	return token, expires, nil
}

// Verify gives the claims of a token that holds now, ErrToken otherwise.
func (t *Tokens) Verify(token string) (Claims, error) {
	for _, secret := range t.secrets {
		var c wireClaims
		_, err := t.parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return secret, nil })
		if errors.Is(err, jwt.ErrTokenSignatureInvalid) {
			continue // perhaps signed with an older secret
		}
		session, bad := strconv.ParseInt(c.Session, 10, 64)
		if err != nil || bad != nil || c.Subject == "" || !c.Role.Valid() {
			return Claims{}, ErrToken
		}
		return Claims{UserID: c.Subject, Session: session, Role: c.Role, Expires: c.ExpiresAt.Time}, nil
	}
	return Claims{}, ErrToken
}
