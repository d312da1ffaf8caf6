package archtest

import (
	"path"
	"slices"
	"strings"
)

const module = "housecall"

// The foundation that every domain package may import. It does not include config: app passes Options.
var foundation = []string{
	"audit", "auth", "errs", "httpd", "httpd/ratelimit", "httpd/transfer", "postgres", "text", "walltime", "wirejson", "zone",
}

// imports says for each package under internal which others under internal it may import. A package without a row
// fails the test: whoever adds a package adds a row.
var imports = map[string][]string{
	"errs":            nil,
	"text":            {"errs"}, // it refuses fields
	"zone":            nil,
	"walltime":        nil,
	"wirejson":        nil,
	"config":          {"text", "walltime", "zone"},
	"auth":            {"errs"},
	"postgres":        {"errs"},
	"audit":           {"auth", "errs", "postgres"},
	"httpd":           {"audit", "auth", "errs", "postgres", "text", "wirejson"}, // audit: its rows have the request id
	"httpd/ratelimit": nil,
	"httpd/transfer":  {"errs", "httpd"},
	"idempotency":     {"auth", "errs", "httpd", "postgres"},
	"jobs":            foundation,
	"mail":            {"text"},
	"blob":            nil,
	"pdf":             {"pdf/bidi"},
	"pdf/bidi":        nil,
	"attachment":      with(foundation, "blob"),
	"assistant":       foundation,
	"schedule":        foundation,
	"account":         foundation,
	"patient":         foundation,
	"doctor":          with(foundation, "schedule"),
	"appointment":     with(foundation, "doctor", "patient", "schedule"),
	"bus":             nil,
	"conversation":    with(foundation, "appointment"),
	"chat":            with(foundation, "appointment", "bus", "conversation"),
	"search":          with(foundation, "conversation"),
	"transcript":      with(foundation, "conversation", "pdf"),
	"notify":          with(foundation, "appointment", "jobs", "mail"), // appointment: its statuses
	"preference":      with(foundation, "notify"),                      // it owns the kinds of mail
	"calendar":        with(foundation, "appointment"),                 // its statuses
	"legacy/pms":      with(foundation, "account", "appointment", "doctor", "patient", "schedule"),
	"legacy/hms": with(
		foundation, "account", "appointment", "assistant", "chat", "conversation", "doctor", "patient", "schedule",
	),
	"ui":                 with(foundation, "account"),
	"client":             nil, // it uses the service as any other client does
	"devservices":        nil,
	"testing/hostile":    nil, // it knows no more about the service than attackers would
	"testing/apitest":    {"auth", "errs", "httpd", "postgres"},
	"testing/clinic":     {"appointment", "config", "doctor", "patient", "postgres", "schedule"},
	"testing/clinictest": {"appointment", "auth", "postgres", "testing/pgtest"},
	"testing/pgtest":     {"auth", "devservices", "postgres"},
	"testing/logtest":    nil,
	"testing/archtest":   nil,
	"testing/soak":       nil, // it judges the service by its protocol alone; only its tests start one
	"app": with(
		foundation, "account", "appointment", "assistant", "attachment", "blob", "bus", "calendar", "chat", "config",
		"conversation", "doctor", "idempotency", "jobs", "legacy/hms", "legacy/pms", "mail", "notify", "patient", "pdf",
		"preference", "schedule", "search", "transcript", "ui",
	),
	// dev runs instances as cmd does, and chats as their users do.
	"dev": {"app", "auth", "client", "config", "devservices", "doctor", "mail", "schedule", "ui"},
}

// outside says the same for packages outside of internal, by their path in the module.
var outside = map[string][]string{
	"migrations":    nil,
	"cmd/housecall": {"app", "client", "config", "dev"},
	"cmd/loadtest": {
		"client", "config", "devservices", "testing/hostile",
	}, // devservices: it can run the servers that it needs
}

// withMigrations may import migrations, to apply them.
var withMigrations = []string{"postgres"}

// ban restricts a library to some files.
type ban struct {
	name string
	// libraries are import paths, including everything below them.
	libraries []string
	// packages (below internal) and files (by base name, in any package) may import them; store.go includes files such
	// as store_claims.go, since a package with much SQL divides it among several files.
	packages, files []string
	reason          string
}

var bans = []ban{
	{
		name: "the web framework",
		libraries: []string{
			"github.com/gofiber", "github.com/danielgtaylor/huma", "github.com/valyala/fasthttp",
		},
		packages: []string{
			"httpd", "httpd/transfer", "ui", "legacy/pms", "legacy/hms", "app",
		},
		files: []string{"http.go", "ws.go"},
		reason: "use cases take plain values, so that sockets, pages and the older APIs share them; a pooled fiber.Ctx " +
			"must not get any deeper",
	},
	{
		name: "the socket library", libraries: []string{"github.com/fasthttp/websocket"},
		packages: []string{"client"}, files: []string{"ws.go"},
		reason: "its connections are pooled: only the code that outlives them on purpose may hold one",
	},
	{
		name: "pgx", libraries: []string{"github.com/jackc"},
		packages: []string{"postgres", "testing/pgtest", "jobs", "dev"}, files: []string{"store.go"},
		reason: "a package's SQL is in one place, where constraints, locks and scans can be read together",
	},
	{
		name: "the job queue", libraries: []string{"github.com/riverqueue"},
		packages: []string{"jobs"},
		reason:   "one place decides what a job's row keeps about a failure, and when the job is tried again",
	},
	{
		name: "the mail library", libraries: []string{"github.com/wneessen/go-mail"},
		packages: []string{"mail"},
		reason:   "one place prevents header injection, and errors that repeat a mail's content",
	},
	{
		name: "the S3 library", libraries: []string{"github.com/minio"},
		packages: []string{"blob"},
		reason:   "packages that store bytes use a blob.Store, which may also be a folder",
	},
	{
		name: "the typesetting library", libraries: []string{"github.com/go-text"},
		packages: []string{"pdf"},
		reason:   "documents are made of rows; how text becomes rows is decided in one place",
	},
	{
		name: "go-redis", libraries: []string{"github.com/redis", "github.com/go-redis"},
		packages: []string{"httpd/ratelimit", "app"}, files: []string{"redis.go"},
		reason: "Redis may fail at any moment: only the bus and the rate limits, which can do without it, may depend on " +
			"it",
	},
}

// pure are files that import only the standard library.
var pure = map[string]string{
	"internal/chat/hub.go": "delivery must not be able to wait for a database, a bus or a socket library",
}

// call restricts functions of the standard library to some directories.
type call struct {
	library   string
	functions []string
	below     []string // paths in the module
	reason    string
}

var calls = []call{
	{
		"os",
		[]string{"Getenv", "LookupEnv", "Environ", "ExpandEnv"},
		[]string{"internal/config"},
		"every variable is documented and validated in one place",
	},
	{
		"os",
		[]string{"Exit"},
		[]string{"cmd", "internal/testing/pgtest"},
		"a library that exits skips every deferred clean-up",
	},
	{
		"log",
		[]string{"Fatal", "Fatalf", "Fatalln"},
		[]string{"cmd"},
		"a library that exits skips every deferred clean-up",
	},
}

func with(base []string, more ...string) []string { return append(slices.Clone(base), more...) }

// below tells whether an import path or directory is p or under it.
func below(name, p string) bool { return name == p || strings.HasPrefix(name, p+"/") }

// mayImport tells whether one package of the module may import another; both are paths in the module.
func mayImport(from, to string) (known, ok bool) {
	pkg, internal := strings.CutPrefix(from, "internal/")
	if to == "migrations" {
		return true, internal && slices.Contains(withMigrations, pkg)
	}
	allowed, known := imports[pkg]
	if !internal {
		allowed, known = outside[from]
	}
	target, internal := strings.CutPrefix(to, "internal/")
	return known, internal && slices.Contains(allowed, target)
}

// applies tells whether b forbids that file (a path in the module) imports library.
func (b ban) applies(file, library string) bool {
	if !slices.ContainsFunc(b.libraries, func(l string) bool { return below(library, l) }) {
		return false
	}
	pkg := strings.TrimPrefix(path.Dir(file), "internal/")
	return !slices.Contains(b.packages, pkg) &&
		!slices.ContainsFunc(b.files, func(f string) bool { return isPartOf(path.Base(file), f) })
}

// isPartOf tells whether a file is of, or one of the files into which it was divided.
func isPartOf(file, of string) bool {
	return file == of || strings.HasPrefix(file, strings.TrimSuffix(of, ".go")+"_")
}
