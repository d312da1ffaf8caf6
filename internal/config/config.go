// Package config turns the environment into one validated struct (12factor.net/config). It is the only reader
// of environment variables in the program.
package config

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"housecall/internal/text"
)

// Prefix begins the name of every variable.
const Prefix = "HOUSECALL_"

// Config is the whole configuration of an instance. Its tags and helpTexts are the documentation: Help and the example
// file are made from them.
type Config struct {
	Addr        string `env:"ADDR" envDefault:":6001"`
	MetricsAddr string `env:"METRICS_ADDR" envDefault:"127.0.0.1:9101"`
	PublicURL   string `env:"PUBLIC_URL" envDefault:"http://localhost:6001"`
	LogLevel    string `env:"LOG_LEVEL" envDefault:"info"`

	DatabaseURL      Secret `env:"DATABASE_URL"`
	MigrateURL       Secret `env:"MIGRATE_DATABASE_URL"`
	DatabaseMaxConns int    `env:"DATABASE_MAX_CONNS" envDefault:"16"`
	RedisURL         Secret `env:"REDIS_URL"`
	RedisMode        string `env:"REDIS_MODE" envDefault:"single"`
	RedisNamespace   string `env:"REDIS_NAMESPACE" envDefault:"housecall"`

	TokenSecrets []Secret      `env:"TOKEN_SECRETS"`
	AccessTTL    time.Duration `env:"ACCESS_TTL" envDefault:"15m"`
	RefreshTTL   time.Duration `env:"REFRESH_TTL" envDefault:"720h"`
	InviteTTL    time.Duration `env:"INVITE_TTL" envDefault:"168h"`
	VerifyTTL    time.Duration `env:"VERIFY_TTL" envDefault:"72h"`
	ResetTTL     time.Duration `env:"RESET_TTL" envDefault:"1h"`

	LegacyPMS bool          `env:"LEGACY_PMS" envDefault:"true"`
	LegacyHMS bool          `env:"LEGACY_HMS" envDefault:"true"`
	LegacyTTL time.Duration `env:"LEGACY_TTL" envDefault:"12h"`

	JobWorkers   int  `env:"JOB_WORKERS" envDefault:"4"`
	JobsPollOnly bool `env:"JOBS_POLL_ONLY" envDefault:"false"`

	SMTPURL  Secret `env:"SMTP_URL"`
	MailFrom string `env:"MAIL_FROM" envDefault:"Housecall <no-reply@localhost>"`
	MailDir  string `env:"MAIL_DIR" envDefault:"mail"`

	AttachmentsDir string `env:"ATTACHMENTS_DIR" envDefault:"attachments"`
	S3Endpoint     string `env:"S3_ENDPOINT"`
	S3Bucket       string `env:"S3_BUCKET"`
	S3Region       string `env:"S3_REGION" envDefault:"us-east-1"`
	S3AccessKey    Secret `env:"S3_ACCESS_KEY"`
	S3SecretKey    Secret `env:"S3_SECRET_KEY"`
	S3PathStyle    bool   `env:"S3_PATH_STYLE" envDefault:"false"`

	AttachmentBytes   int           `env:"ATTACHMENT_BYTES" envDefault:"10485760"`
	AttachmentsPerDay int           `env:"ATTACHMENTS_PER_DAY" envDefault:"20"`
	UploadTimeout     time.Duration `env:"UPLOAD_TIMEOUT" envDefault:"5m"`
	UploadsPerMinute  int           `env:"UPLOADS_PER_MINUTE" envDefault:"20"`
	UploadsAtOnce     int           `env:"UPLOADS_AT_ONCE" envDefault:"16"`

	TranscriptFonts string `env:"TRANSCRIPT_FONTS"`

	AssistantURL     string        `env:"ASSISTANT_URL"`
	AssistantAPI     string        `env:"ASSISTANT_API"`
	AssistantKey     Secret        `env:"ASSISTANT_KEY"`
	AssistantModel   string        `env:"ASSISTANT_MODEL"`
	AssistantTimeout time.Duration `env:"ASSISTANT_TIMEOUT" envDefault:"30s"`
	AssistantPerHour int           `env:"ASSISTANT_PER_HOUR" envDefault:"20"`
	AssistantAtOnce  int           `env:"ASSISTANT_AT_ONCE" envDefault:"4"`

	AllowedOrigins []string `env:"ALLOWED_ORIGINS"`
	TrustedProxies []string `env:"TRUSTED_PROXIES"`

	ClinicZone         Zone          `env:"CLINIC_ZONE" envDefault:"UTC"`
	ClinicHours        Hours         `env:"CLINIC_HOURS" envDefault:"10:00-14:00,14:30-18:00"`
	ClinicSlotMinutes  int           `env:"CLINIC_SLOT_MINUTES" envDefault:"30"`
	ClinicResponseTime string        `env:"CLINIC_RESPONSE_TIME" envDefault:"during office hours"`
	ClinicEmergency    string        `env:"CLINIC_EMERGENCY_NUMBER" envDefault:"your local emergency number"`
	ClinicNotice       string        `env:"CLINIC_NOTICE"`
	PhoneRegion        string        `env:"PHONE_REGION"`
	NameCollation      string        `env:"NAME_COLLATION" envDefault:"und-x-icu"`
	BookingNotice      time.Duration `env:"BOOKING_NOTICE" envDefault:"0s"`
	BookingHorizon     time.Duration `env:"BOOKING_HORIZON" envDefault:"2160h"`
	MaxOpenRequests    int           `env:"MAX_OPEN_REQUESTS" envDefault:"5"`
	MaxUpcoming        int           `env:"MAX_UPCOMING" envDefault:"20"`
	HoldTTL            time.Duration `env:"HOLD_TTL" envDefault:"5m"`
	MaxHolds           int           `env:"MAX_HOLDS" envDefault:"3"`
	OfferTTL           time.Duration `env:"OFFER_TTL" envDefault:"15m"`
	CancellationWindow time.Duration `env:"CANCELLATION_WINDOW" envDefault:"2h"`
	RequestTTL         time.Duration `env:"REQUEST_TTL" envDefault:"336h"`
	CompleteAfter      time.Duration `env:"COMPLETE_AFTER" envDefault:"24h"`
	FollowUpWindow     time.Duration `env:"FOLLOW_UP_WINDOW" envDefault:"72h"`
	UnreadAfter        time.Duration `env:"UNREAD_AFTER" envDefault:"15m"`

	RequestTimeout  time.Duration `env:"REQUEST_TIMEOUT" envDefault:"10s"`
	ShutdownTimeout time.Duration `env:"SHUTDOWN_TIMEOUT" envDefault:"25s"`
	DrainDelay      time.Duration `env:"DRAIN_DELAY" envDefault:"0s"`
	BodyLimit       int           `env:"BODY_LIMIT" envDefault:"1048576"`

	LoginsPerAccount              int `env:"LOGINS_PER_ACCOUNT" envDefault:"10"`
	LoginsPerAddress              int `env:"LOGINS_PER_ADDRESS" envDefault:"100"`
	RegistersPerAddress           int `env:"REGISTERS_PER_ADDRESS" envDefault:"20"`
	SocketsPerUser                int `env:"SOCKETS_PER_USER" envDefault:"20"`
	SocketsPerAddress             int `env:"SOCKETS_PER_ADDRESS" envDefault:"1000"`
	MessagesPerSecond             int `env:"MESSAGES_PER_SECOND" envDefault:"20"`
	UserMessagesPerSecond         int `env:"USER_MESSAGES_PER_SECOND" envDefault:"40"`
	ConversationMessagesPerSecond int `env:"ROOM_MESSAGES_PER_SECOND" envDefault:"60"`
	CommitLanes                   int `env:"COMMIT_LANES" envDefault:"4"`
}

// Secret is a value that prints as stars.
type Secret string

// String hides the value.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "********"
}

// GoString hides the value from %#v too.
func (s Secret) GoString() string { return s.String() }

// Format hides the value from every verb: fmt does not call String for those that do not suit a string, such as %d.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText hides the value from encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Reveal returns the value itself.
func (s Secret) Reveal() string { return string(s) }

// Default returns every variable's default, for programs that set the rest themselves (dev, tests).
func Default() Config {
	c, err := parse(map[string]string{})
	if err != nil {
		panic("config: the defaults do not parse: " + err.Error()) // a test covers it
	}
	return c
}

// FromEnv reads and validates the environment. The error names every variable that is wrong, never its value.
func FromEnv() (Config, error) { return From(nil) }

// From is FromEnv over a given environment (nil: the process's own).
func From(environment map[string]string) (Config, error) {
	if environment == nil {
		environment = env.ToMap(os.Environ())
	}
	c, err := parse(environment)
	var bad unreadable
	if errors.As(err, &bad) {
		// The others are validated as if these had their defaults, so that one start names all that is wrong.
		rest := maps.Clone(environment)
		for name := range bad {
			delete(rest, name)
		}
		c, _ = parse(rest)
		return Config{}, errors.Join(err, c.Validate())
	}
	if err == nil {
		err = c.Validate()
	}
	if err != nil {
		return Config{}, err
	}
	return c, nil
}

// unreadable are variables whose values could not be read, and what each should be.
type unreadable map[string]string

// Error implements error, with a line for each.
func (u unreadable) Error() string {
	lines := make([]string, 0, len(u))
	for _, name := range slices.Sorted(maps.Keys(u)) {
		lines = append(lines, name+" is not a valid "+u[name])
	}
	return strings.Join(lines, "\n")
}

// parse reads an environment; the error is unreadable where values are at fault.
func parse(environment map[string]string) (Config, error) {
	var c Config
	err := env.ParseWithOptions(&c, env.Options{Prefix: Prefix, Environment: environment})
	if err == nil {
		c.tidy()
		return c, nil
	}
	var all env.AggregateError
	if !errors.As(err, &all) {
		return Config{}, errors.New("the environment could not be read")
	}
	bad := unreadable{}
	for _, e := range all.Errors {
		var p env.ParseError
		if !errors.As(e, &p) {
			return Config{}, e
		}
		bad[variable(p.Name)] = describe(p.Type)
	}
	return Config{}, bad
}

// off as METRICS_ADDR means that there is none: an empty variable means its default.
const off = "off"

// tidy normalizes values: it removes spaces around the items of lists, and writes URLs as browsers do.
func (c *Config) tidy() {
	if c.MetricsAddr == off {
		c.MetricsAddr = ""
	}
	for i, s := range c.TokenSecrets {
		c.TokenSecrets[i] = Secret(strings.TrimSpace(s.Reveal()))
	}
	for _, list := range [][]string{c.AllowedOrigins, c.TrustedProxies} {
		for i, s := range list {
			list[i] = strings.TrimSpace(s)
		}
	}
	c.PublicURL = asBrowsersDo(strings.TrimSuffix(c.PublicURL, "/"))
	for i, s := range c.AllowedOrigins {
		c.AllowedOrigins[i] = asBrowsersDo(s)
	}
}

// asBrowsersDo writes an origin as browsers send it. Anything else stays as it is, for Validate to refuse.
func asBrowsersDo(s string) string {
	if origin, ok := text.Origin(s); ok {
		return origin
	}
	return s
}

// variable returns the name of the variable for a field of Config.
func variable(field string) string {
	f, ok := reflect.TypeFor[Config]().FieldByName(field)
	if !ok {
		return field
	}
	return Prefix + f.Tag.Get("env")
}

const (
	describeZone  = "IANA time zone such as Europe/Berlin"
	describeHours = "list of intervals such as 10:00-14:00,14:30-18:00, in ascending order and without overlaps"
)

// describe says what a variable of a type looks like.
func describe(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "duration such as 15m or 72h"
	case t == reflect.TypeFor[Zone]():
		return describeZone
	case t == reflect.TypeFor[Hours]():
		return describeHours
	case t.Kind() == reflect.Int:
		return "whole number"
	case t.Kind() == reflect.Bool:
		return "boolean: true or false"
	default:
		return t.String()
	}
}

// Origins returns the origins that may open sockets and call REST from a browser: the service's own and the list.
func (c Config) Origins() []string {
	own, _ := url.Parse(c.PublicURL) // validated
	return append([]string{own.Scheme + "://" + own.Host}, c.AllowedOrigins...)
}

// Secrets returns the token secrets as bytes.
func (c Config) Secrets() [][]byte {
	out := make([][]byte, len(c.TokenSecrets))
	for i, s := range c.TokenSecrets {
		out[i] = []byte(s)
	}
	return out
}

// MigrationDSN returns the DSN for migrations.
func (c Config) MigrationDSN() string {
	if c.MigrateURL != "" {
		return c.MigrateURL.Reveal()
	}
	return c.DatabaseURL.Reveal()
}

func parseProxy(s string) error {
	if strings.Contains(s, "/") {
		_, err := netip.ParsePrefix(s)
		return err
	}
	_, err := netip.ParseAddr(s)
	return err
}

// Unchecked reads the environment like FromEnv but does not validate: for dev, which fills in what is required.
func Unchecked() (Config, error) { return parse(nil) }

// Password returns the password that chat and admin create take from the environment, so that it appears in no command
// line; "" if it is not set.
func Password() string { return os.Getenv(Prefix + "PASSWORD") }
