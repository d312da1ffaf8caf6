package auth_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
)

var (
	oldSecret = []byte("an older secret of more than 32 bytes")
	newSecret = []byte("the present secret of more than 32 bytes")
	noon      = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	ann       = auth.Actor{ID: 7, UserID: "PAT0123456789", Role: auth.Patient, Session: 42}
)

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

func TestTokens_IssueVerify(t *testing.T) {
	t.Parallel()
	now := noon
	tokens := auth.NewTokens([][]byte{newSecret}, 15*time.Minute, func() time.Time { return now })
	token, expires, err := tokens.Issue(ann)
	require.NoError(t, err)
	require.Equal(t, noon.Add(15*time.Minute), expires)
	c, err := tokens.Verify(token)
	require.NoError(t, err)
	require.Equal(t, ann.UserID, c.UserID)
	require.Equal(t, ann.Session, c.Session)
	require.Equal(t, ann.Role, c.Role)
	require.True(t, expires.Equal(c.Expires))

	now = expires.Add(-time.Second)
	_, err = tokens.Verify(token)
	require.NoError(t, err)
	now = expires
	_, err = tokens.Verify(token)
	require.ErrorIs(t, err, auth.ErrToken)
}

func TestTokens_Verify_SecretReplaced(t *testing.T) {
	t.Parallel()
	before := auth.NewTokens([][]byte{oldSecret}, time.Minute, at(noon))
	during := auth.NewTokens([][]byte{newSecret, oldSecret}, time.Minute, at(noon))
	after := auth.NewTokens([][]byte{newSecret}, time.Minute, at(noon))
	old, _, err := before.Issue(ann)
	require.NoError(t, err)
	fresh, _, err := during.Issue(ann)
	require.NoError(t, err)
	_, err = during.Verify(old)
	require.NoError(t, err)
	_, err = after.Verify(fresh)
	require.NoError(t, err)
	_, err = after.Verify(old)
	require.ErrorIs(t, err, auth.ErrToken)
	_, err = before.Verify(fresh)
	require.ErrorIs(t, err, auth.ErrToken)
}

func TestTokens_Verify_Refused(t *testing.T) {
	t.Parallel()
	tokens := auth.NewTokens([][]byte{newSecret}, time.Minute, at(noon))
	good := jwt.MapClaims{
		"iss": "housecall", "aud": "housecall.api", "sub": ann.UserID, "sid": "42", "role": "PATIENT",
		"exp": noon.Add(time.Minute).Unix(),
	}
	sign := func(method jwt.SigningMethod, key any, change func(jwt.MapClaims)) string {
		claims := jwt.MapClaims{}
		for k, v := range good {
			claims[k] = v
		}
		change(claims)
		s, err := jwt.NewWithClaims(method, claims).SignedString(key)
		require.NoError(t, err)
		return s
	}
	same := func(jwt.MapClaims) {}
	set := func(k string, v any) func(jwt.MapClaims) { return func(c jwt.MapClaims) { c[k] = v } }
	drop := func(k string) func(jwt.MapClaims) { return func(c jwt.MapClaims) { delete(c, k) } }
	valid := sign(jwt.SigningMethodHS256, newSecret, same)
	_, err := tokens.Verify(valid)
	require.NoError(t, err, "the model of all the others holds")
	parts := strings.Split(valid, ".")
	for name, token := range map[string]string{
		"empty":            "",
		"no token":         "abc",
		"no signature":     parts[0] + "." + parts[1] + ".",
		"unsigned":         sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, same),
		"another secret":   sign(jwt.SigningMethodHS256, oldSecret, same),
		"another method":   sign(jwt.SigningMethodHS512, newSecret, same),
		"changed claims":   parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"role":"ADMIN"}`)) + "." + parts[2],
		"another audience": sign(jwt.SigningMethodHS256, newSecret, set("aud", "legacy.api")),
		"no audience":      sign(jwt.SigningMethodHS256, newSecret, drop("aud")),
		"another issuer":   sign(jwt.SigningMethodHS256, newSecret, set("iss", "other")),
		"without end":      sign(jwt.SigningMethodHS256, newSecret, drop("exp")),
		"expired":          sign(jwt.SigningMethodHS256, newSecret, set("exp", noon.Unix())),
		"not yet":          sign(jwt.SigningMethodHS256, newSecret, set("nbf", noon.Add(time.Hour).Unix())),
		"no subject":       sign(jwt.SigningMethodHS256, newSecret, drop("sub")),
		"no session":       sign(jwt.SigningMethodHS256, newSecret, drop("sid")),
		"odd session":      sign(jwt.SigningMethodHS256, newSecret, set("sid", "forty-two")),
		"odd role":         sign(jwt.SigningMethodHS256, newSecret, set("role", "NURSE")),
		"trailing":         valid + ".x",
	} {
		_, err := tokens.Verify(token)
		require.ErrorIs(t, err, auth.ErrToken, name)
	}
}

func TestTokens_IssueOlder_VerifyOlder(t *testing.T) {
	t.Parallel()
	now := noon
	tokens := auth.NewTokens([][]byte{newSecret}, time.Minute, func() time.Time { return now })
	token, expires, err := tokens.IssueOlder(ann, auth.AudiencePMS, 12*time.Hour, map[string]any{
		"userId": 7, "role": 3, "name": "Ann", "sub": "ADM0000000000", "sid": "1", "aud": "housecall.api", "exp": 9999999999,
		"nbf": 9999999999,
	})
	require.NoError(t, err)
	require.Equal(t, noon.Add(12*time.Hour), expires)
	now = expires.Add(-time.Second)
	c, err := tokens.VerifyOlder(token, auth.AudiencePMS)
	require.NoError(t, err)
	require.Equal(t, auth.Claims{UserID: ann.UserID, Session: ann.Session, Expires: c.Expires}, c,
		"what is shown does not come back")
	require.True(t, expires.Equal(c.Expires))

	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	require.NoError(t, err)
	require.JSONEq(
		t,
		fmt.Sprintf(`{"iss":"housecall","aud":["housecall.pms"],"sub":"PAT0123456789","sid":"42","iat":%d,"exp":%d,
		"userId":7,"role":3,"name":"Ann"}`, noon.Unix(), expires.Unix()),
		string(payload), "old clients read it",
	)

	now = expires
	_, err = tokens.VerifyOlder(token, auth.AudiencePMS)
	require.ErrorIs(t, err, auth.ErrToken)
}

// Each API accepts its own tokens only.
func TestTokens_OneAudience(t *testing.T) {
	t.Parallel()
	tokens := auth.NewTokens([][]byte{newSecret}, time.Minute, at(noon))
	native, _, err := tokens.Issue(ann)
	require.NoError(t, err)
	made := map[auth.Audience]string{}
	for _, api := range []auth.Audience{auth.AudiencePMS, auth.AudienceHMS} {
		// A role that a native token could have.
		made[api], _, err = tokens.IssueOlder(ann, api, time.Hour, map[string]any{"role": auth.Admin})
		require.NoError(t, err)
		_, err = tokens.Verify(made[api])
		require.ErrorIs(t, err, auth.ErrToken, "%s on the native API", api)
		_, err = tokens.VerifyOlder(native, api)
		require.ErrorIs(t, err, auth.ErrToken, "a native token on %s", api)
		_, err = tokens.VerifyOlder(made[api], "housecall.other")
		require.ErrorIs(t, err, auth.ErrToken, "an unknown API")
	}
	_, err = tokens.VerifyOlder(made[auth.AudiencePMS], auth.AudienceHMS)
	require.ErrorIs(t, err, auth.ErrToken)
	_, err = tokens.VerifyOlder(made[auth.AudienceHMS], auth.AudiencePMS)
	require.ErrorIs(t, err, auth.ErrToken)
}

func FuzzTokens_Verify(f *testing.F) {
	tokens := auth.NewTokens([][]byte{newSecret, oldSecret}, time.Minute, at(noon))
	valid, _, err := tokens.Issue(ann)
	require.NoError(f, err)
	parts := strings.Split(valid, ".")
	for _, s := range []string{
		valid, "", "..", "a.b.c", parts[0] + ".." + parts[2], valid + "=", strings.ToUpper(valid),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := tokens.Verify(s)
		if err != nil {
			require.Equal(t, auth.Claims{}, c)
			require.ErrorIs(t, err, auth.ErrToken)
			return
		}
		// Without a secret, clients can at most rewrite a token that they were given.
		require.Equal(t, fmt.Sprint(ann.UserID, ann.Session, ann.Role), fmt.Sprint(c.UserID, c.Session, c.Role))
	})
}
