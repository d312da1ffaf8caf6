package config

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// good is a valid environment for serve.
func good() map[string]string {
	return map[string]string{
		"HOUSECALL_DATABASE_URL":  "postgres://app:pw@db1:5432,db2:5432/housecall?target_session_attrs=read-write&connect_timeout=2",
		"HOUSECALL_REDIS_URL":     "redis://redis:6379/0",
		"HOUSECALL_TOKEN_SECRETS": freshSecret(),
	}
}

func freshSecret() string { return rand.Text() + rand.Text() }

func with(name, value string) map[string]string {
	e := good()
	e[Prefix+name] = value
	return e
}

func TestDefault(t *testing.T) {
	t.Parallel()
	c := Default()
	c.DatabaseURL, c.RedisURL, c.TokenSecrets = "host=db dbname=housecall", "redis://r", []Secret{Secret(freshSecret())}
	require.NoError(t, c.Validate(), "every default is valid")
	require.Equal(t, 15*time.Minute, c.AccessTTL)
	require.Equal(t, []string{"http://localhost:6001"}, c.Origins())
}

func TestFrom(t *testing.T) {
	t.Parallel()
	first, second := freshSecret(), freshSecret()
	e := with("TOKEN_SECRETS", first+", "+second)
	e["HOUSECALL_ALLOWED_ORIGINS"] = "https://Clinic.example:443, http://localhost:3000,Capacitor://localhost" // as people write them
	e["HOUSECALL_TRUSTED_PROXIES"] = "10.0.0.1, 10.1.0.0/16,fd00::/8"
	e["HOUSECALL_PUBLIC_URL"] = "https://house.example/"
	e["HOUSECALL_LOG_LEVEL"] = "" // empty means the default
	c, err := From(e)
	require.NoError(t, err)
	require.Equal(t, [][]byte{[]byte(first), []byte(second)}, c.Secrets(), "the first one signs")
	require.Equal(t, []string{"https://house.example", "https://clinic.example", "http://localhost:3000", "capacitor://localhost"},
		c.Origins())
	require.Equal(t, []string{"10.0.0.1", "10.1.0.0/16", "fd00::/8"}, c.TrustedProxies)
	require.Equal(t, "info", c.LogLevel)
	require.Equal(t, e["HOUSECALL_DATABASE_URL"], c.MigrationDSN())
	require.Equal(t, "127.0.0.1:9101", c.MetricsAddr)
}

func TestFrom_S3(t *testing.T) {
	t.Parallel()
	c, err := From(beside("S3_"))
	require.NoError(t, err)
	host, secure, err := ParseS3(c.S3Endpoint)
	require.NoError(t, err)
	require.Equal(t, "store:9000", host)
	require.False(t, secure)
	host, secure, err = ParseS3("https://s3.example.com/")
	require.NoError(t, err)
	require.Equal(t, "s3.example.com", host)
	require.True(t, secure)
	for _, name := range []string{"S3_BUCKET", "S3_ACCESS_KEY", "S3_SECRET_KEY"} {
		e := beside(name)
		delete(e, Prefix+name)
		_, err = From(e)
		require.ErrorContains(t, err, Prefix+name)
	}
}

func TestFrom_MigrationDSN(t *testing.T) {
	t.Parallel()
	c, err := From(with("MIGRATE_DATABASE_URL", "postgres://app@direct/housecall"))
	require.NoError(t, err)
	require.Equal(t, "postgres://app@direct/housecall", c.MigrationDSN())
}

func TestFrom_MetricsOff(t *testing.T) {
	t.Parallel()
	c, err := From(with("METRICS_ADDR", "off"))
	require.NoError(t, err)
	require.Empty(t, c.MetricsAddr)
}

// bad has invalid values, by variable. Each contains a marker that must not appear in the error.
var bad = map[string][]string{
	"ADDR": {"marker", "marker:http", "marker 1:80", ":70000"}, "METRICS_ADDR": {"marker", "0.0.0.0:marker"},
	"PUBLIC_URL": {
		"marker", "ftp://marker", "https://marker/path", "https://user:marker@host", "https://host?marker",
	},
	"LOG_LEVEL": {"marker", "trace", "disabled"},
	"DATABASE_URL": {
		"marker", "mysql://user:marker@host/db", "postgres://user:marker@host:port/db", "redis://marker",
	},
	"MIGRATE_DATABASE_URL": {"marker", "postgres://user:marker%zz@host/db"},
	"DATABASE_MAX_CONNS":   {"marker", "6", "0", "-1", "1001", "1e3"}, "REDIS_MODE": {"marker", "Cluster"},
	"REDIS_NAMESPACE": {"marker:", "{marker}", "marker marker", strings.Repeat("marker", 11)},
	"TOKEN_SECRETS":   {"marker", "marker,marker"}, "ACCESS_TTL": {"marker", "15", "0s", "-1m"},
	"REFRESH_TTL": {"30d", "0s"}, "INVITE_TTL": {"marker", "0s"}, "VERIFY_TTL": {"marker", "0s"},
	"RESET_TTL": {"marker", "-1h"}, "LEGACY_PMS": {"marker", "yes", "on"}, "LEGACY_HMS": {"marker", "2"},
	"LEGACY_TTL": {"marker", "12", "0s"}, "JOB_WORKERS": {"marker", "-1", "101"}, "JOBS_POLL_ONLY": {"marker", "2"},
	"SMTP_URL": {
		"marker", "http://marker", "smtp://", "smtp://u:marker@", "smtp://u:marker@h:0", "smtp://u:marker@h:port",
		"smtp://marker@h", "smtp://u:marker@h/x", "smtp://u:marker@h?tls=none", "smtp://h?tls=marker", "smtps://h?tls=none",
		"smtp://h?marker=1", "smtp://:marker@h",
	},
	"MAIL_FROM":       {"marker", "marker@", "Marker <a@b>, c@d", "märker@example.org", "\"a\r\nmarker\" <a@b>"},
	"ALLOWED_ORIGINS": {"*", "marker", "https://marker/", "https://ok.example,marker", "null", "file://marker"},
	"TRUSTED_PROXIES": {"marker", "10.0.0.0/33", "10.0.0.1,marker", "*"},
	"CLINIC_ZONE": {
		"marker", "Local", "Mars/Marker", "posixrules", "localtime", "right/Europe/Berlin", "../zoneinfo/Europe/Berlin",
		"europe/berlin", "Europe//Berlin", "Europe/./Berlin", "Europe/Berlin/",
	},
	"CLINIC_HOURS":             {"marker", "10:00", "14:00-10:00", "10:00-12:00,11:00-13:00", "24:00-25:00", "9:00-10:00"},
	"CLINIC_SLOT_MINUTES":      {"marker", "4", "481", "30m"},
	"CLINIC_RESPONSE_TIME":     {strings.Repeat("marker ", 30), "marker\nmarker", "\xffmarker"},
	"CLINIC_EMERGENCY_NUMBER":  {strings.Repeat("marker ", 30), "marker\tmarker"},
	"CLINIC_NOTICE":            {strings.Repeat("marker ", 300)},
	"PHONE_REGION":             {"marker", "np", "ZZ", "NPL", "001"},
	"NAME_COLLATION":           {"marker marker", "marker\"", "marker;", strings.Repeat("marker", 11)},
	"BOOKING_NOTICE":           {"marker", "-1h", "721h", "90s"},
	"BOOKING_HORIZON":          {"marker", "-1h", "59m", "61m1s", "87601h"},
	"MAX_OPEN_REQUESTS":        {"marker", "0"},
	"HOLD_TTL":                 {"marker", "0s"},
	"MAX_UPCOMING":             {"marker", "0"},
	"MAX_HOLDS":                {"marker", "0"},
	"OFFER_TTL":                {"marker", "0s"},
	"CANCELLATION_WINDOW":      {"marker", "-1s"},
	"REQUEST_TTL":              {"marker", "0s"},
	"COMPLETE_AFTER":           {"marker", "0s"},
	"FOLLOW_UP_WINDOW":         {"marker", "-1s"},
	"UNREAD_AFTER":             {"marker", "1m59s", "-1h"},
	"REQUEST_TIMEOUT":          {"marker", "0s"},
	"SHUTDOWN_TIMEOUT":         {"marker", "0s"},
	"DRAIN_DELAY":              {"marker", "-1s", "25s"},
	"BODY_LIMIT":               {"marker", "0", "9223372036854775807", "1MB"},
	"LOGINS_PER_ACCOUNT":       {"marker", "0"},
	"LOGINS_PER_ADDRESS":       {"marker", "0"},
	"REGISTERS_PER_ADDRESS":    {"marker", "0"},
	"SOCKETS_PER_USER":         {"marker", "0"},
	"SOCKETS_PER_ADDRESS":      {"marker", "0"},
	"MESSAGES_PER_SECOND":      {"marker", "0", "2147483648"},
	"USER_MESSAGES_PER_SECOND": {"marker", "0"},
	"ROOM_MESSAGES_PER_SECOND": {"marker", "0"},
	"COMMIT_LANES":             {"marker", "0", "-4"},
	"S3_ENDPOINT": {
		"marker", "s3.marker.example", "https://marker/path", "https://user:marker@host", "ftp://marker", "https://:443",
	},
	"S3_BUCKET": {"Marker", "ma", "marker_bucket", "-marker", "mar..ker", strings.Repeat("marker", 11)},
	"S3_REGION": {"marker region", "marker/1"}, "S3_PATH_STYLE": {"marker", "yes"},
	"ATTACHMENT_BYTES": {"marker", "0", "104857601"}, "ATTACHMENTS_PER_DAY": {"marker", "0"},
	"UPLOAD_TIMEOUT": {"marker", "0s", "31m"}, "UPLOADS_PER_MINUTE": {"marker", "0"}, "UPLOADS_AT_ONCE": {"marker", "0"},
	"ASSISTANT_URL":   {"marker", "ftp://marker", "https://marker/elsewhere", "https://user:marker@host/v1"},
	"ASSISTANT_API":   {"marker", "OpenAI"},
	"ASSISTANT_MODEL": {strings.Repeat("marker", 40), "marker\nmarker"}, "ASSISTANT_KEY": {"marker\nmarker", "märker"},
	"ASSISTANT_TIMEOUT": {"marker", "0s", "3m"}, "ASSISTANT_PER_HOUR": {"marker", "0"}, "ASSISTANT_AT_ONCE": {"marker", "0"},
}

// beside returns an environment in which a variable is validated: those of a store or an
// assistant are only if it is configured.
func beside(name string) map[string]string {
	e := good()
	if strings.HasPrefix(name, "S3_") {
		e["HOUSECALL_S3_ENDPOINT"], e["HOUSECALL_S3_BUCKET"] = "http://store:9000", "files"
		e["HOUSECALL_S3_ACCESS_KEY"], e["HOUSECALL_S3_SECRET_KEY"] = "key", freshSecret()
	}
	if strings.HasPrefix(name, "ASSISTANT_") {
		e["HOUSECALL_ASSISTANT_URL"], e["HOUSECALL_ASSISTANT_MODEL"] = "http://ollama:11434/api/chat", "llama3.2"
	}
	return e
}

// anything lists the variables whose values are not validated here: app checks the Redis URL, and the system the
// folder.
var anything = []string{"REDIS_URL", "MAIL_DIR", "ATTACHMENTS_DIR", "TRANSCRIPT_FONTS", "S3_ACCESS_KEY", "S3_SECRET_KEY"}

func TestFrom_BadValue(t *testing.T) {
	t.Parallel()
	for name, values := range bad {
		for _, value := range values {
			t.Run(name+"="+value, func(t *testing.T) {
				t.Parallel()
				e := beside(name)
				e[Prefix+name] = value
				_, err := From(e)
				require.ErrorContains(t, err, Prefix+name)
				require.NotContains(t, strings.ToLower(err.Error()), "marker", "a value may be a secret: it is not repeated")
				require.NotContains(t, err.Error(), "strconv", "made for an operator to read")
			})
		}
	}
	names := slices.Concat(slices.Collect(maps.Keys(bad)), anything)
	for _, v := range Variables() {
		require.Contains(t, names, strings.TrimPrefix(v.Name, Prefix), "each variable has bad values here")
	}
}

func TestFrom_NamesAll(t *testing.T) {
	t.Parallel()
	_, err := From(map[string]string{})
	require.Error(t, err)
	for _, v := range Variables() {
		if v.Required {
			require.ErrorContains(t, err, v.Name+" is required")
		}
	}
	again := err
	for range 20 {
		_, err = From(map[string]string{"HOUSECALL_ADDR": "x"})
		require.ErrorContains(t, err, "HOUSECALL_ADDR")
	}
	_, err = From(map[string]string{})
	require.EqualError(t, err, again.Error(), "the same mistakes read the same")

	_, err = From(map[string]string{"HOUSECALL_ACCESS_TTL": "x", "HOUSECALL_BODY_LIMIT": "y"})
	require.ErrorContains(t, err, "HOUSECALL_ACCESS_TTL is not a valid duration such as 15m")
	require.ErrorContains(t, err, "HOUSECALL_BODY_LIMIT is not a valid whole number")
	require.ErrorContains(t, err, "HOUSECALL_DATABASE_URL is required", "all faults at once")
}

func TestFrom_WeakSecrets(t *testing.T) {
	t.Parallel()
	strong := freshSecret()
	for name, s := range map[string]string{
		"empty":                    "",
		"short":                    strong[:SecretMin-1],
		"jwt.io":                   "your-256-bit-secret-your-256-bit",
		"change me":                "please-change-me-please-change-it!",
		"changeme":                 "ChAnGeMeChAnGeMe0123456789abcdefXYZ",
		"password":                 "MyVeryLongPassword1234567890!?abc",
		"example":                  "this-is-only-an-example-of-a-key-1",
		"default":                  "the-default-key-of-this-service-42",
		"our name":                 "housecall-production-key-8fa3b1c9d2",
		"the demo password":        "housecall-demo-1housecall-demo-1",
		"replace":                  "REPLACE_WITH_OUTPUT_OF_OPENSSL_RAND",
		"placeholder":              "token-placeholder-9f8e7d6c5b4a3f2e",
		"keyboard":                 "qwertyuiopasdfghjklzxcvbnm1234567890",
		"one character":            strings.Repeat("x", 64),
		"two characters":           strings.Repeat("ab", 32),
		"digits":                   strings.Repeat("1234567890", 4),
		"hexadecimal digits":       strings.Repeat("0123456789abcdef", 4),
		"alphabet":                 "abcdefghijklmnopqrstuvwxyz0123456789",
		"backwards":                "zyxwvutsrqponmlkjihgfedcba9876543210",
		"a short secret, repeated": strings.Repeat("k3J!p9Qz", 5),
		"repeated and cut off":     strings.Repeat("k3J!p9QzL2m", 4)[:40],
		"a good one and a bad one": strong + ",abc",
		"a good one and none":      strong + ",",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := From(with("TOKEN_SECRETS", s))
			require.ErrorContains(t, err, "HOUSECALL_TOKEN_SECRETS")
			for part := range strings.SplitSeq(s, ",") {
				require.True(t, part == "" || !strings.Contains(err.Error(), part), "a secret is not repeated")
			}
		})
	}
}

func TestFrom_StrongSecrets(t *testing.T) {
	t.Parallel()
	for range 500 {
		raw := make([]byte, 48)
		_, _ = rand.Read(raw) // never fails
		for _, s := range []string{
			base64.StdEncoding.EncodeToString(raw), hex.EncodeToString(raw[:32]), hex.EncodeToString(raw[:16]), rand.Text() + rand.Text(),
		} {
			_, err := From(with("TOKEN_SECRETS", s))
			require.NoError(t, err, "what `openssl rand` makes is taken: %s", s)
		}
	}
}
