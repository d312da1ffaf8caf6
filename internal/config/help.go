package config

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
)

// Variable is one environment variable as the operator sees it.
type Variable struct {
	Name, Default, Help string
	Required            bool
}

// requiredMark ends the help of a variable that has no default and cannot be left out.
const requiredMark = "(required)"

// Variables lists all variables in the order of the struct.
func Variables() []Variable {
	var out []Variable
	t := reflect.TypeFor[Config]()
	for f := range t.Fields() {
		name := f.Tag.Get("env")
		help := helpTexts[name]
		out = append(out, Variable{
			Name: Prefix + name, Default: f.Tag.Get("envDefault"), Help: help,
			Required: strings.HasSuffix(help, requiredMark),
		})
	}
	return out
}

// Help is the text of `housecall serve --help`: each variable with its meaning and default.
func Help() string {
	var b strings.Builder
	for _, v := range Variables() {
		fmt.Fprintf(&b, "  %s\n      %s", v.Name, v.Help)
		if v.Default != "" {
			fmt.Fprintf(&b, " (default %s)", v.Default)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// exampleHead is what stands before the variables in .env.example; the names of the required ones go into it.
const exampleHead = `# Every variable of ` + "`housecall serve`" +
	`, with its default. Copy this file to .env: docker compose reads
# it by itself, a shell with: set -a; . ./.env; set +a
#
# Required: %s.
# An empty value means the default. Put a value that contains a space or any of & $ # ; ( ) < > | * ? in single quotes.
`

// exampleFoot is what docker-compose.yml asks for beside them.
const exampleFoot = `
# The rest is for docker-compose.yml only. It sets HOUSECALL_ADDR, _PUBLIC_URL, _DATABASE_URL, _MIGRATE_DATABASE_URL,
# _REDIS_URL, _TRUSTED_PROXIES, _MAIL_DIR, _ATTACHMENTS_DIR and _SHUTDOWN_TIMEOUT itself, whatever is written above.

# password of PostgreSQL (required)
POSTGRES_PASSWORD=

# URL under which clients reach the load balancer; it becomes HOUSECALL_PUBLIC_URL
PUBLIC_URL=http://localhost:8080
`

// Example is the content of .env.example.
func Example() string {
	var b strings.Builder
	var required []string
	for _, v := range Variables() {
		if v.Required {
			required = append(required, v.Name)
		}
		fmt.Fprintf(&b, "\n# %s\n%s=%s\n", v.Help, v.Name, quote(v.Default))
	}
	return fmt.Sprintf(exampleHead, strings.Join(required, ", ")) + b.String() + exampleFoot
}

// plain matches values that a shell and docker compose both read as they stand.
var plain = regexp.MustCompile(`^[A-Za-z0-9_./:,@%+=-]*$`)

// quote writes a value so that both read it alike; no default has a single quote in it.
func quote(s string) string {
	if plain.MatchString(s) {
		return s
	}
	return "'" + s + "'"
}
