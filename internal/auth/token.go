package auth

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const issuer = "housecall"

// Audience names the API that accepts a token; every other one refuses it (RFC 7519, 4.1.3).
type Audience string

// The audiences: the native API with the sockets, and the two older APIs.
const (
	audienceNative Audience = "housecall.api"
	AudiencePMS    Audience = "housecall.pms"
	AudienceHMS    Audience = "housecall.hms"
)

// ErrToken means that a token is malformed, forged, expired, or meant for another audience. It does not say which.
var ErrToken = errors.New("access token is not valid")

// Tokens issues and verifies access tokens (JWT, RFC 7519, HS256).
type Tokens struct {
	secrets [][]byte
	ttl     time.Duration
	now     func() time.Time
	parsers map[Audience]*jwt.Parser
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
	Role    any    `json:"role"` // a Role in a native token; an older API's clients may read something else there
}

// NewTokens signs with the first secret and accepts all of them, so that a secret can be replaced without
// signing everybody out.
func NewTokens(secrets [][]byte, ttl time.Duration, now func() time.Time) *Tokens {
	t := &Tokens{secrets: secrets, ttl: ttl, now: now, parsers: map[Audience]*jwt.Parser{}}
	for _, api := range []Audience{audienceNative, AudiencePMS, AudienceHMS} {
		t.parsers[api] = jwt.NewParser(
			jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithIssuer(issuer), jwt.WithAudience(string(api)),
			jwt.WithExpirationRequired(), jwt.WithTimeFunc(now),
		)
	}
	return t
}

// Issue makes an access token for the actor's session; it ends at expires.
func (t *Tokens) Issue(a Actor) (token string, expires time.Time, err error) {
	return t.sign(jwt.MapClaims{"role": a.Role}, a, audienceNative, t.ttl)
}

// IssueOlder makes a token of an older API for the actor's session. Its clients read more claims from their token,
// which are in shown. They cannot replace any of the claims that count, and the service ignores them when the token
// comes back.
func (t *Tokens) IssueOlder(
	a Actor, api Audience, ttl time.Duration, shown map[string]any,
) (token string, expires time.Time, err error) {
	claims := jwt.MapClaims{}
	for name, value := range shown {
		if !slices.Contains(counting, name) {
			claims[name] = value
		}
	}
	return t.sign(claims, a, api, ttl)
}

// counting are the claims that decide whether a token counts, and whose it is (RFC 7519, 4.1).
var counting = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid"}

func (t *Tokens) sign(claims jwt.MapClaims, a Actor, api Audience, ttl time.Duration) (string, time.Time, error) {
	now := t.now()
	expires := now.Add(ttl).Truncate(time.Second)
	maps.Copy(claims, jwt.MapClaims{
		"iss": issuer, "aud": jwt.ClaimStrings{string(api)}, "sub": a.UserID, "sid": strconv.FormatInt(a.Session, 10),
		"iat": jwt.NewNumericDate(now), "exp": jwt.NewNumericDate(expires),
	})
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(t.secrets[0])
	if err != nil {
		return "", time.Time{}, fmt.Errorf("sign access token: %w", err)
	}
	return token, expires, nil
}

// Verify returns the claims of an access token that is valid now, ErrToken otherwise.
func (t *Tokens) Verify(token string) (Claims, error) {
	c, err := t.claimsOf(token, audienceNative)
	if err == nil && !c.Role.Valid() {
		return Claims{}, ErrToken
	}
	return c, err
}

// VerifyOlder is Verify for a token of an older API. The result has no role: only the database knows it.
func (t *Tokens) VerifyOlder(token string, api Audience) (Claims, error) {
	c, err := t.claimsOf(token, api)
	c.Role = ""
	return c, err
}

func (t *Tokens) claimsOf(token string, api Audience) (Claims, error) {
	parser, known := t.parsers[api]
	if !known {
		return Claims{}, ErrToken
	}
	for _, secret := range t.secrets {
		var c wireClaims
		_, err := parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return secret, nil })
		if errors.Is(err, jwt.ErrTokenSignatureInvalid) {
			continue // perhaps signed with an older secret
		}
		session, bad := strconv.ParseInt(c.Session, 10, 64)
		if err != nil || bad != nil || c.Subject == "" {
			return Claims{}, ErrToken
		}
		role, _ := c.Role.(string)
		return Claims{UserID: c.Subject, Session: session, Role: Role(role), Expires: c.ExpiresAt.Time}, nil
	}
	return Claims{}, ErrToken
}
