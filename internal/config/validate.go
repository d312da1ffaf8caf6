package config

import (
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/rs/zerolog"

	"housecall/internal/text"
)

// SecretMin is the minimum length of a token secret in bytes: as long as the HMAC's output (RFC 7518, 3.2).
const SecretMin = 32

// MaxBookingNotice is the longest lead time that a slot may need, the clinic's default or a doctor's;
// maxBookingHorizon is how far ahead anything can be booked at most, ten years.
const (
	MaxBookingNotice  = 30 * 24 * time.Hour
	maxBookingHorizon = 10 * 365 * 24 * time.Hour
)

// RedisNone is the REDIS_MODE of an instance that is alone, which needs no Redis.
const RedisNone = "none"

// Validate checks every value; the error has a line for each variable that is wrong.
func (c Config) Validate() error {
	var v problems
	v.require("DATABASE_URL", c.DatabaseURL != "", "is required")
	v.require("DATABASE_URL", c.DatabaseURL == "" || isDSN(c.DatabaseURL.Reveal()), wantDSN)
	v.require("MIGRATE_DATABASE_URL", c.MigrateURL == "" || isDSN(c.MigrateURL.Reveal()), wantDSN)
	v.require("REDIS_URL", c.RedisURL != "" || c.RedisMode == RedisNone, "is required")
	v.require("REDIS_MODE", slices.Contains([]string{"single", "sentinel", "cluster", RedisNone}, c.RedisMode),
		"must be single, sentinel, cluster or none")
	v.require("REDIS_NAMESPACE", namespace.MatchString(c.RedisNamespace),
		"must have only letters, digits, _, . or -, at most 64")
	v.require("CLINIC_RESPONSE_TIME", isLine(c.ClinicResponseTime), wantLine)
	v.require("CLINIC_EMERGENCY_NUMBER", isLine(c.ClinicEmergency), wantLine)
	v.require("CLINIC_NOTICE", len(c.ClinicNotice) <= 2000, "must have at most 2000 bytes")
	v.require("ADDR", isAddress(c.Addr), "must be host:port or :port")
	v.require("METRICS_ADDR", c.MetricsAddr == "" || isAddress(c.MetricsAddr), "must be host:port, :port or off")
	_, err := zerolog.ParseLevel(c.LogLevel)
	v.require("LOG_LEVEL", err == nil && slices.Contains([]string{"debug", "info", "warn", "error"}, c.LogLevel),
		"must be debug, info, warn or error")
	v.require("PUBLIC_URL", isOrigin(strings.TrimSuffix(c.PublicURL, "/")),
		"must be an absolute http or https URL without a path")
	for _, o := range c.AllowedOrigins {
		_, ok := text.Origin(o)
		v.require("ALLOWED_ORIGINS", ok, "must list origins such as https://clinic.example or capacitor://localhost, "+
			"without a path; * is not accepted")
	}
	for _, p := range c.TrustedProxies {
		v.require("TRUSTED_PROXIES", parseProxy(p) == nil, "must list IP addresses or CIDR ranges")
	}
	c.validateSecrets(&v)
	c.validateMail(&v)
	c.validateAttachments(&v)
	c.validateAssistant(&v)
	c.validateClinic(&v)
	c.validateDurations(&v)
	c.validateNumbers(&v)
	return errors.Join(v...)
}

func (c Config) validateSecrets(v *problems) {
	v.require("TOKEN_SECRETS", len(c.TokenSecrets) > 0, "is required: make one with `openssl rand -base64 48`")
	for _, s := range c.TokenSecrets {
		v.require("TOKEN_SECRETS", len(s) >= SecretMin, fmt.Sprintf("must have at least %d characters each", SecretMin))
		v.require("TOKEN_SECRETS", !weak(string(s)),
			"looks like a default or an example: make one with `openssl rand -base64 48`")
	}
}

// noMailDomain is the domain of MAIL_FROM's default: no server would accept mail from it.
const noMailDomain = "@localhost"

// CheckMail is Validate for what sending mail needs alone.
func (c Config) CheckMail() error {
	var v problems
	c.validateMail(&v)
	return errors.Join(v...)
}

func (c Config) validateMail(v *problems) {
	if c.SMTPURL != "" {
		_, err := ParseSMTP(c.SMTPURL)
		v.require("SMTP_URL", err == nil, "must be smtp://user:password@host:587 or smtps://user:password@host:465; "+
			"?tls=none is for servers without TLS and takes no credentials")
		v.require("MAIL_FROM", !strings.HasSuffix(c.Sender().Address, noMailDomain), "must be set if SMTP_URL is")
	}
	a, err := mail.ParseAddress(c.MailFrom)
	v.require("MAIL_FROM", err == nil && isASCII(text.ASCIIEmail(a.Address)),
		"must be an address such as Clinic <no-reply@clinic.example>")
	v.require("MAIL_DIR", c.SMTPURL != "" || isFolder(c.MailDir), "must be a folder, unless SMTP_URL is set")
}

// isFolder reports whether s can be the name of a folder.
func isFolder(s string) bool { return s != "" && !strings.ContainsRune(s, 0) }

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII })
}

func (c Config) validateClinic(v *problems) {
	v.require("CLINIC_ZONE", c.ClinicZone.Location != nil, "must be an "+describeZone)
	v.require("CLINIC_SLOT_MINUTES", c.ClinicSlotMinutes >= 5 && c.ClinicSlotMinutes <= 480, "must be 5 to 480")
	v.require("CLINIC_HOURS", len(c.ClinicHours) > 0, "must be a "+describeHours)
	v.require("PHONE_REGION", c.PhoneRegion == "" || text.IsPhoneRegion(c.PhoneRegion),
		"must be a country's code of two capital letters (ISO 3166-1), such as NP")
	v.require("NAME_COLLATION", collation.MatchString(c.NameCollation),
		"must be the name of a collation of PostgreSQL, such as de-x-icu")
}

func (c Config) validateDurations(v *problems) {
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"ACCESS_TTL", c.AccessTTL},
		{"REFRESH_TTL", c.RefreshTTL},
		{"INVITE_TTL", c.InviteTTL},
		{"LEGACY_TTL", c.LegacyTTL},
		{"HOLD_TTL", c.HoldTTL},
		{"OFFER_TTL", c.OfferTTL},
		{"REQUEST_TTL", c.RequestTTL},
		{"COMPLETE_AFTER", c.CompleteAfter},
		{"VERIFY_TTL", c.VerifyTTL},
		{"RESET_TTL", c.ResetTTL},
		{"REQUEST_TIMEOUT", c.RequestTimeout},
		{"SHUTDOWN_TIMEOUT", c.ShutdownTimeout},
	} {
		v.require(d.name, d.value > 0, "must be positive")
	}
	v.require("BOOKING_NOTICE",
		c.BookingNotice >= 0 && c.BookingNotice <= MaxBookingNotice && c.BookingNotice%time.Minute == 0,
		"must be whole minutes, at most 720h")
	v.require("BOOKING_HORIZON",
		c.BookingHorizon >= max(time.Hour, c.BookingNotice) && c.BookingHorizon <= maxBookingHorizon &&
			c.BookingHorizon%time.Minute == 0,
		"must be whole minutes, at least 1h, not shorter than BOOKING_NOTICE and at most 87600h")
	v.require("UNREAD_AFTER", c.UnreadAfter >= 2*time.Minute, "must be 2m or longer")
	v.require("FOLLOW_UP_WINDOW", c.FollowUpWindow >= 0, "must not be negative")
	v.require("CANCELLATION_WINDOW", c.CancellationWindow >= 0, "must not be negative")
	v.require("DRAIN_DELAY", c.DrainDelay >= 0 && c.DrainDelay < c.ShutdownTimeout,
		"must be shorter than SHUTDOWN_TIMEOUT")
}

func (c Config) validateNumbers(v *problems) {
	for _, n := range []struct {
		name  string
		value int
	}{
		{"BODY_LIMIT", c.BodyLimit},
		{"MAX_OPEN_REQUESTS", c.MaxOpenRequests},
		{"MAX_UPCOMING", c.MaxUpcoming},
		{"MAX_HOLDS", c.MaxHolds},
		{"LOGINS_PER_ACCOUNT", c.LoginsPerAccount},
		{"LOGINS_PER_ADDRESS", c.LoginsPerAddress},
		{"REGISTERS_PER_ADDRESS", c.RegistersPerAddress},
		{"SOCKETS_PER_USER", c.SocketsPerUser},
		{"SOCKETS_PER_ADDRESS", c.SocketsPerAddress},
		{"MESSAGES_PER_SECOND", c.MessagesPerSecond},
		{"USER_MESSAGES_PER_SECOND", c.UserMessagesPerSecond},
		{"ROOM_MESSAGES_PER_SECOND", c.ConversationMessagesPerSecond},
		{"COMMIT_LANES", c.CommitLanes},
		{"ATTACHMENTS_PER_DAY", c.AttachmentsPerDay},
		{"UPLOADS_PER_MINUTE", c.UploadsPerMinute},
		{"UPLOADS_AT_ONCE", c.UploadsAtOnce},
		{"ASSISTANT_PER_HOUR", c.AssistantPerHour},
		{"ASSISTANT_AT_ONCE", c.AssistantAtOnce},
	} {
		v.require(n.name, n.value >= 1 && n.value <= maxNumber, "must be 1 to 100000000")
	}
	v.require("JOB_WORKERS", c.JobWorkers >= 0 && c.JobWorkers <= 100, "must be 0 to 100")
	v.require("DATABASE_MAX_CONNS", c.DatabaseMaxConns >= c.CommitLanes+c.JobWorkers+3 && c.DatabaseMaxConns <= 1000,
		"must be at least COMMIT_LANES + JOB_WORKERS + 3, so that REST is never starved by chat or jobs, and at most 1000")
}

type problems []error

func (p *problems) require(name string, ok bool, complaint string) {
	err := fmt.Errorf("%s%s %s", Prefix, name, complaint)
	if ok || slices.ContainsFunc(*p, func(e error) bool { return e.Error() == err.Error() }) {
		return
	}
	*p = append(*p, err)
}

// maxNumber is more than any count or size here can sensibly be, and small enough to be multiplied by a few.
const maxNumber = 100_000_000

const wantDSN = "must be a DSN such as postgres://user@host:5432/database or host=… dbname=…"

// namespace has no colon, which separates the parts of a name, and no brace, which would choose a cluster's slot.
var namespace = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// collation is what names of collations are made of (BCP 47, and those of libc).
var collation = regexp.MustCompile(`^[A-Za-z0-9_.@-]{1,63}$`)

// isDSN reports whether s looks like a DSN; the driver, which knows all parameters, checks them.
func isDSN(s string) bool {
	if strings.HasPrefix(s, "postgres://") || strings.HasPrefix(s, "postgresql://") {
		_, err := url.Parse(s)
		return err == nil
	}
	return !strings.Contains(s, "://") && strings.Contains(s, "=")
}

// isAddress reports whether s is an address to listen on: an optional host, and a port.
func isAddress(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil || strings.ContainsAny(host, " /") {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

func isOrigin(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") &&
		u.Host != "" && u.Path == "" && u.RawQuery == "" && u.User == nil
}

// examples are words of secrets that were copied from somewhere.
var examples = []string{
	"secret", "change", "password", "passwd", "example", "default", "housecall", "replace", "insecure", "placeholder",
	"qwerty", "letmein",
}

// weak catches what people paste instead of a secret: words from examples, too few different characters, a short
// piece that repeats, keys in their order.
func weak(s string) bool {
	lower := strings.ToLower(s)
	if slices.ContainsFunc(examples, func(word string) bool { return strings.Contains(lower, word) }) {
		return true
	}
	different := map[rune]bool{}
	for _, r := range s {
		different[r] = true
	}
	return len(different) < 10 || repeats(s) || counts(s)
}

// repeats reports whether s is one short piece over and over, the last one perhaps cut off.
func repeats(s string) bool {
	for size := 1; size <= min(16, len(s)/2); size++ {
		if s[size:] == s[:len(s)-size] {
			return true
		}
	}
	return false
}

// counts reports whether most of s goes up or down by one, as in 0123456789abcdef.
func counts(s string) bool {
	steps := 0
	for i := 1; i < len(s); i++ {
		if d := int(s[i]) - int(s[i-1]); d == 1 || d == -1 {
			steps++
		}
	}
	return steps > len(s)/2
}
