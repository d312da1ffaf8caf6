// Package config turns the environment into one validated struct (12factor.net/config). It is the only reader
// of environment variables in the program.
package config

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// Prefix begins the name of every variable.
const Prefix = "HOUSECALL_"

// Config is everything an instance can be told. The tags are the documentation: Help and the example file are
// made from them.
type Config struct {
	Addr        string `env:"ADDR" envDefault:":6001" help:"address that REST and WebSocket listen on"`
	MetricsAddr string `env:"METRICS_ADDR" envDefault:"127.0.0.1:9101" help:"address of Prometheus metrics and pprof, never to be public; off turns both off"`
	PublicURL   string `env:"PUBLIC_URL" envDefault:"http://localhost:6001" help:"base URL under which clients reach the service; its origin may open sockets"`
	LogLevel    string `env:"LOG_LEVEL" envDefault:"info" help:"least severe log level: debug, info, warn or error"`

	DatabaseURL      Secret `env:"DATABASE_URL" help:"PostgreSQL DSN; several hosts with target_session_attrs=read-write follow a failover (required)"`
	MigrateURL       Secret `env:"MIGRATE_DATABASE_URL" help:"direct DSN for migrations where DATABASE_URL goes through PgBouncer; empty means DATABASE_URL"`
	DatabaseMaxConns int    `env:"DATABASE_MAX_CONNS" envDefault:"16" help:"most PostgreSQL connections of this instance, at least COMMIT_LANES + JOB_WORKERS + 3; one more listens for jobs"`
	RedisURL         Secret `env:"REDIS_URL" help:"Redis URL (redis://, rediss:// or unix://) of the bus between instances and of shared rate limits (required)"`
	RedisMode        string `env:"REDIS_MODE" envDefault:"single" help:"what REDIS_URL leads to: single, sentinel (with ?master_name=) or cluster (further nodes as ?addr=)"`
	RedisNamespace   string `env:"REDIS_NAMESPACE" envDefault:"housecall" help:"first part of the bus's channel names; a copy of a database on the same Redis needs another one"`

	TokenSecrets []Secret      `env:"TOKEN_SECRETS" help:"comma-separated secrets of at least 32 characters for tokens; the first signs, all verify (required)"`
	AccessTTL    time.Duration `env:"ACCESS_TTL" envDefault:"15m" help:"how long an access token lives"`
	RefreshTTL   time.Duration `env:"REFRESH_TTL" envDefault:"720h" help:"how long a session lives without being refreshed"`
	InviteTTL    time.Duration `env:"INVITE_TTL" envDefault:"168h" help:"how long an invitation of a doctor can be accepted"`
	VerifyTTL    time.Duration `env:"VERIFY_TTL" envDefault:"72h" help:"how long the link in a mail that verifies an e-mail address works"`
	ResetTTL     time.Duration `env:"RESET_TTL" envDefault:"1h" help:"how long the link in a mail that resets a password works"`

	LegacyPMS bool          `env:"LEGACY_PMS" envDefault:"true" help:"whether the older API of the Patient Management System (/web) is served"`
	LegacyHMS bool          `env:"LEGACY_HMS" envDefault:"true" help:"whether the older API of the Health Management System (/api/auth, /api/patient, /api/doctor, /api/admin) is served"`
	LegacyTTL time.Duration `env:"LEGACY_TTL" envDefault:"12h" help:"how long a sign-in to an older API lives; its clients cannot refresh"`

	JobWorkers   int  `env:"JOB_WORKERS" envDefault:"4" help:"jobs (mail, timers) that this instance works at once; 0 leaves them to other instances"`
	JobsPollOnly bool `env:"JOBS_POLL_ONLY" envDefault:"false" help:"ask for new jobs every second instead of listening; needed where DATABASE_URL goes through PgBouncer"`

	SMTPURL  Secret `env:"SMTP_URL" help:"mail server: smtp://user:password@host:587 (STARTTLS is demanded, unless ?tls=none) or smtps://user:password@host:465; empty writes mail into MAIL_DIR"`
	MailFrom string `env:"MAIL_FROM" envDefault:"Housecall <no-reply@localhost>" help:"address that mail comes from; its domain is also that of message ids"`
	MailDir  string `env:"MAIL_DIR" envDefault:"mail" help:"folder, made when needed, that mail is written to as .eml files while SMTP_URL is empty"`

	AllowedOrigins []string `env:"ALLOWED_ORIGINS" help:"comma-separated further origins that may call REST (CORS) and open sockets, such as https://clinic.example"`
	TrustedProxies []string `env:"TRUSTED_PROXIES" help:"comma-separated addresses or CIDR ranges of load balancers whose X-Forwarded-For is believed"`

	ClinicZone         string        `env:"CLINIC_ZONE" envDefault:"UTC" help:"IANA time zone of the clinic"`
	ClinicHours        string        `env:"CLINIC_HOURS" envDefault:"10:00-14:00,14:30-18:00" help:"default hours, every day, of a doctor who has set none"`
	ClinicSlotMinutes  int           `env:"CLINIC_SLOT_MINUTES" envDefault:"30" help:"default length of a slot in minutes, 5 to 480"`
	ClinicNotice       string        `env:"CLINIC_NOTICE" envDefault:"Messages are answered during office hours. In an emergency call your local emergency number." help:"response-time and emergency text that every conversation shows"`
	BookingNotice      time.Duration `env:"BOOKING_NOTICE" envDefault:"0s" help:"how long before its start a slot must be booked at the latest, with a doctor who has set nothing else; at most 720h"`
	BookingHorizon     time.Duration `env:"BOOKING_HORIZON" envDefault:"2160h" help:"how far ahead slots can be booked; a doctor may set less, at least 1h"`
	MaxOpenRequests    int           `env:"MAX_OPEN_REQUESTS" envDefault:"5" help:"most open requests (PENDING) of one patient"`
	MaxUpcoming        int           `env:"MAX_UPCOMING" envDefault:"20" help:"most booked appointments ahead with which one patient can still book another that nobody has to confirm"`
	HoldTTL            time.Duration `env:"HOLD_TTL" envDefault:"5m" help:"how long a time is kept for a patient who fills in the form"`
	MaxHolds           int           `env:"MAX_HOLDS" envDefault:"3" help:"most times kept for one patient at once"`
	OfferTTL           time.Duration `env:"OFFER_TTL" envDefault:"15m" help:"how long a time that became free is kept for the first who waits for it, before the next is asked"`
	CancellationWindow time.Duration `env:"CANCELLATION_WINDOW" envDefault:"2h" help:"how long before its start a patient can no longer cancel or move a booked appointment"`
	RequestTTL         time.Duration `env:"REQUEST_TTL" envDefault:"336h" help:"how long a request without a time waits for an answer"`
	CompleteAfter      time.Duration `env:"COMPLETE_AFTER" envDefault:"24h" help:"how long after its end a booked appointment counts as completed, if nobody says otherwise"`
	FollowUpWindow     time.Duration `env:"FOLLOW_UP_WINDOW" envDefault:"72h" help:"how long a conversation stays open after the appointment is completed"`
	UnreadAfter        time.Duration `env:"UNREAD_AFTER" envDefault:"15m" help:"how long somebody is away, with something unread, before he is told; at least 2m"`

	RequestTimeout  time.Duration `env:"REQUEST_TIMEOUT" envDefault:"10s" help:"deadline of one REST request"`
	ShutdownTimeout time.Duration `env:"SHUTDOWN_TIMEOUT" envDefault:"25s" help:"deadline of a graceful stop"`
	DrainDelay      time.Duration `env:"DRAIN_DELAY" envDefault:"0s" help:"how long a stopping instance answers not-ready before it refuses work, for balancers that poll"`
	BodyLimit       int           `env:"BODY_LIMIT" envDefault:"1048576" help:"largest REST request body in bytes"`

	LoginsPerAccount      int `env:"LOGINS_PER_ACCOUNT" envDefault:"10" help:"sign-in attempts with one login (e-mail address or user id) from one address in 15 minutes; five times as many from all addresses together"`
	LoginsPerAddress      int `env:"LOGINS_PER_ADDRESS" envDefault:"100" help:"sign-in attempts from one address in 15 minutes"`
	RegistersPerAddress   int `env:"REGISTERS_PER_ADDRESS" envDefault:"20" help:"registrations from one address in an hour"`
	SocketsPerUser        int `env:"SOCKETS_PER_USER" envDefault:"20" help:"open sockets of one user on one instance"`
	SocketsPerAddress     int `env:"SOCKETS_PER_ADDRESS" envDefault:"1000" help:"open sockets from one address on one instance"`
	MessagesPerSecond     int `env:"MESSAGES_PER_SECOND" envDefault:"20" help:"messages a second of one connection, sustained; bursts of five times as many pass"`
	UserMessagesPerSecond int `env:"USER_MESSAGES_PER_SECOND" envDefault:"40" help:"messages a second of one user over all connections of one instance, sustained; bursts of five times as many pass"`
	RoomMessagesPerSecond int `env:"ROOM_MESSAGES_PER_SECOND" envDefault:"60" help:"messages a second of all sides of one conversation on one instance, sustained; bursts of five times as many pass"`
	CommitLanes           int `env:"COMMIT_LANES" envDefault:"4" help:"parallel lanes of the message committer; each may hold one of DATABASE_MAX_CONNS"`
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

// Format hides the value from every verb: for one that does not suit a string, such as %d, fmt would not ask String.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText hides the value from encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Reveal gives the value itself.
func (s Secret) Reveal() string { return string(s) }

// Default gives every variable's default, for programs that set the rest themselves (dev, tests).
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
	c, err := parse(environment)
	if err != nil {
		return Config{}, err
	}
	if err := c.Validate(); err != nil {
		return Config{}, err
	}
	return c, nil
}

func parse(environment map[string]string) (Config, error) {
	var c Config
	opts := env.Options{Prefix: Prefix}
	if environment != nil {
		opts.Environment = environment
	}
	err := env.ParseWithOptions(&c, opts)
	if err == nil {
		c.tidy()
		return c, nil
	}
	var all env.AggregateError
	if !errors.As(err, &all) {
		return Config{}, errors.New("the environment could not be read")
	}
	var bad []error
	for _, e := range all.Errors {
		var p env.ParseError
		if errors.As(e, &p) {
			bad = append(bad, fmt.Errorf("%s is not a valid %s", variable(p.Name), describe(p.Type)))
			continue
		}
		bad = append(bad, e)
	}
	return Config{}, errors.Join(bad...)
}

// off is METRICS_ADDR's way to say that there is none: an empty variable means its default.
const off = "off"

// tidy takes from values what only people put in: spaces after the commas of a list.
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
	c.PublicURL = asBrowsersDo(c.PublicURL)
	for i, s := range c.AllowedOrigins {
		c.AllowedOrigins[i] = asBrowsersDo(s)
	}
}

// asBrowsersDo writes a URL's origin as browsers send it: scheme and host in lower case, no default port. What is no
// URL stays as it is, for Validate to refuse.
func asBrowsersDo(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return s
	}
	u.Host = strings.ToLower(u.Host)
	if defaultPort := map[string]string{"http": ":80", "https": ":443"}[u.Scheme]; defaultPort != "" {
		u.Host = strings.TrimSuffix(u.Host, defaultPort)
	}
	return u.String()
}

// variable gives the variable's name of a field of Config.
func variable(field string) string {
	f, ok := reflect.TypeFor[Config]().FieldByName(field)
	if !ok {
		return field
	}
	return Prefix + f.Tag.Get("env")
}

func describe(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "duration such as 15m or 72h"
	case t.Kind() == reflect.Int:
		return "whole number"
	case t.Kind() == reflect.Bool:
		return "yes or no: true or false"
	default:
		return t.String()
	}
}

// Origins gives the origins that may open sockets and call REST from a browser: the service's own and the list.
func (c Config) Origins() []string {
	own, _ := url.Parse(c.PublicURL) // validated
	return append([]string{own.Scheme + "://" + own.Host}, c.AllowedOrigins...)
}

// Secrets gives the token secrets as bytes.
func (c Config) Secrets() [][]byte {
	out := make([][]byte, len(c.TokenSecrets))
	for i, s := range c.TokenSecrets {
		out[i] = []byte(s)
	}
	return out
}

// MigrationDSN is where migrations go.
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

// Password is the password that commands of a person (chat, admin create) take from the environment, so that it
// is in no command line; "" if it is not set.
func Password() string { return os.Getenv(Prefix + "PASSWORD") }
