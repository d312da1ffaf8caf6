package config

// helpTexts say for each variable what it means, on one line, for people who run the service.
var helpTexts = map[string]string{
	"ADDR": "address that REST and WebSocket listen on",
	"METRICS_ADDR": "address of Prometheus metrics and pprof, which must never be public; off " +
		"disables both",
	"PUBLIC_URL": "base URL under which clients reach the service; pages of its origin may open " +
		"sockets",
	"LOG_LEVEL": "least severe level to log: debug, info, warn or error",
	"DATABASE_URL": "PostgreSQL DSN; several hosts with target_session_attrs=read-write follow a " +
		"failover (required)",
	"MIGRATE_DATABASE_URL": "direct DSN for migrations if DATABASE_URL goes through PgBouncer; empty means " +
		"DATABASE_URL",
	"DATABASE_MAX_CONNS": "maximum PostgreSQL connections of this instance, at least COMMIT_LANES + " +
		"JOB_WORKERS + 3; one more listens for jobs",
	"REDIS_URL": "Redis URL (redis://, rediss:// or unix://) of the bus between instances and of " +
		"shared rate limits, unless REDIS_MODE is none (required)",
	"REDIS_MODE": "what REDIS_URL points to: single, sentinel (with ?master_name=), cluster " +
		"(further nodes as ?addr=), or none for an instance that is alone",
	"REDIS_NAMESPACE": "prefix of the bus's channel names; a copy of a database on the same Redis needs " +
		"a different one",
	"TOKEN_SECRETS": "comma-separated list of secrets of at least 32 characters for tokens; the first signs, " +
		"all verify (required)",
	"ACCESS_TTL":  "how long an access token is valid",
	"REFRESH_TTL": "how long a sign-in session lasts without being refreshed",
	"INVITE_TTL":  "how long a doctor's invitation can be accepted",
	"VERIFY_TTL":  "how long the link that verifies an email address works",
	"RESET_TTL":   "how long the link that resets a password works",
	"LEGACY_PMS":  "whether the older API of the Patient Management System (/web) is served",
	"LEGACY_HMS": "whether the older API of the Health Management System (/api/auth, /api/patient, " +
		"/api/doctor, /api/admin) is served",
	"LEGACY_TTL": "how long a sign-in to an older API lasts; its clients cannot refresh it",
	"JOB_WORKERS": "jobs (emails) that this instance runs at once, timers aside; 0 leaves both to other " +
		"instances",
	"JOBS_POLL_ONLY": "poll for new jobs every second instead of listening; needed if DATABASE_URL " +
		"goes through PgBouncer",
	"SMTP_URL": "mail server: smtp://user:password@host:587 (STARTTLS is required, unless " +
		"?tls=none) or smtps://user:password@host:465; if empty, emails are written to " +
		"MAIL_DIR",
	"MAIL_FROM": "sender address of emails; message ids use its domain",
	"MAIL_DIR":  "folder for emails as .eml files while SMTP_URL is empty; created when needed",
	"ATTACHMENTS_DIR": "folder for the files of conversations while S3_ENDPOINT is empty; created when " +
		"needed, and the same one for all instances",
	"S3_ENDPOINT": "URL of an S3-compatible store for the files of conversations, such as " +
		"https://s3.eu-central-1.amazonaws.com; use http:// only for a store on a private " +
		"network",
	"S3_BUCKET":     "bucket in the store; it must exist",
	"S3_REGION":     "region of the bucket",
	"S3_ACCESS_KEY": "access key of the store",
	"S3_SECRET_KEY": "secret key of the store",
	"S3_PATH_STYLE": "whether requests name the bucket in their path instead of the host name, as most " +
		"stores outside AWS require",
	"ATTACHMENT_BYTES":    "largest file that can be sent in a conversation, in bytes; at most 104857600",
	"ATTACHMENTS_PER_DAY": "maximum files of one conversation in 24 hours",
	"UPLOAD_TIMEOUT":      "maximum duration of one upload; at most 30m",
	"TRANSCRIPT_FONTS": "folder with more fonts for PDFs (.ttf, .otf, .ttc), read at the start; without it, PDFs show " +
		"Latin, Greek, Cyrillic, Hebrew, Arabic, Armenian and Georgian letters, and code points for others",
	"UPLOADS_PER_MINUTE": "maximum uploads of one user in a minute",
	"UPLOADS_AT_ONCE": "maximum simultaneous uploads on one instance; with an S3-compatible store each " +
		"takes up to 6 MiB of memory",
	"ALLOWED_ORIGINS": "comma-separated list of further origins that may call REST (CORS) and open sockets, such " +
		"as https://clinic.example, or those of apps, such as capacitor://localhost",
	"TRUSTED_PROXIES": "comma-separated list of addresses or CIDR ranges of load balancers whose X-Forwarded-For " +
		"is trusted",
	"CLINIC_ZONE":         "IANA time zone of the clinic",
	"CLINIC_HOURS":        "default hours, every day, of a doctor who has set none",
	"CLINIC_SLOT_MINUTES": "default length of a slot in minutes, 5 to 480",
	"CLINIC_RESPONSE_TIME": "when messages are answered, as shown in every conversation, such as within one " +
		"working day",
	"CLINIC_EMERGENCY_NUMBER": "number to call in an emergency, as shown in every conversation, such as 112",
	"CLINIC_NOTICE": "further text that every conversation shows after the response time and the " +
		"emergency number",
	"PHONE_REGION": "country of telephone numbers without a country's code, as two capital letters (ISO 3166-1) " +
		"such as NP; if empty, only numbers that begin with + are understood, and others only kept",
	"NAME_COLLATION": "collation of PostgreSQL by which names are sorted, such as de-x-icu or sv-x-icu; und-x-icu " +
		"belongs to no language in particular; the value default means the database's own order",
	"ASSISTANT_URL": "language model of the patients' automatic assistant, such as http://ollama:11434 or " +
		"https://models.example/v1; what patients ask is sent there, without their names; if empty, there is no " +
		"assistant",
	"ASSISTANT_API": "protocol of ASSISTANT_URL: ollama or openai (and whatever is compatible); if empty, its path " +
		"decides",
	"ASSISTANT_KEY":      "key of the API, sent as a bearer token; may be empty",
	"ASSISTANT_MODEL":    "name of the model there, such as llama3.2",
	"ASSISTANT_TIMEOUT":  "maximum duration of one answer of the assistant; at most 2m",
	"ASSISTANT_PER_HOUR": "maximum questions of one patient to the assistant in an hour",
	"ASSISTANT_AT_ONCE":  "maximum simultaneous questions to the assistant on one instance",
	"BOOKING_NOTICE": "lead time: how long before its start a slot must be booked, unless the doctor " +
		"has set otherwise; at most 720h",
	"BOOKING_HORIZON":   "how far ahead slots can be booked; a doctor may set less, but at least 1h",
	"MAX_OPEN_REQUESTS": "maximum open requests (PENDING) of one patient; does not apply to the older API of HMS",
	"MAX_UPCOMING": "number of upcoming booked appointments at which a patient can no longer book " +
		"another one that needs no confirmation",
	"HOLD_TTL":  "how long a slot is held for a patient who is filling in the form",
	"MAX_HOLDS": "maximum slots held for one patient at once",
	"OFFER_TTL": "how long a slot that became free is held for the first person on the waiting " +
		"list before it is offered to the next",
	"CANCELLATION_WINDOW": "how long before its start a patient can no longer cancel or reschedule a booked " +
		"appointment",
	"REQUEST_TTL": "how long a request without a time waits for an answer",
	"COMPLETE_AFTER": "how long after its end a booked appointment counts as completed unless someone " +
		"says otherwise",
	"FOLLOW_UP_WINDOW": "how long a conversation stays open after the appointment is completed",
	"UNREAD_AFTER": "how long messages stay unread before an absent participant is notified; at " +
		"least 2m",
	"REQUEST_TIMEOUT":  "maximum duration of one REST request",
	"SHUTDOWN_TIMEOUT": "maximum duration of a graceful stop",
	"DRAIN_DELAY": "how long a stopping instance answers not-ready before it refuses work, for load " +
		"balancers that poll",
	"BODY_LIMIT": "maximum size of a REST request body, in bytes",
	"LOGINS_PER_ACCOUNT": "sign-in attempts with one login (email address or user id) from one address in " +
		"15 minutes; five times as many from all addresses together",
	"LOGINS_PER_ADDRESS": "wrong sign-in attempts from one address in 15 minutes; good ones do not count, nor do those " +
		"that LOGINS_PER_ACCOUNT refuses",
	"REGISTERS_PER_ADDRESS": "registrations from one address in an hour",
	"SOCKETS_PER_USER":      "maximum open sockets of one user on one instance",
	"SOCKETS_PER_ADDRESS":   "maximum open sockets from one address on one instance",
	"MESSAGES_PER_SECOND": "sustained messages per second of one connection; bursts of five times as many " +
		"are allowed",
	"USER_MESSAGES_PER_SECOND": "sustained messages per second of one user over all connections of one instance; " +
		"bursts of five times as many are allowed",
	"ROOM_MESSAGES_PER_SECOND": "sustained messages per second in one conversation, from all participants, on one " +
		"instance; bursts of five times as many are allowed",
	"COMMIT_LANES": "parallel lanes of the message committer; each may hold one of DATABASE_MAX_CONNS",
}
