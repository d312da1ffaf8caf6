package dev

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"housecall/internal/config"
	"housecall/internal/ui"
)

// printTable prints what there is to see.
func (o Options) printTable(instances []instance, appointment string, s *services) {
	var b strings.Builder
	b.WriteString("\nHousecall is running.\n\n")
	for i, in := range instances {
		fmt.Fprintf(&b, "  instance %d   %s   API docs %s/docs   metrics http://%s/metrics\n",
			i+1, in.url, in.url, in.MetricsAddr())
	}
	if s.mailbox != nil {
		fmt.Fprintf(&b, "  mailbox      %s   every email that the instances send\n", s.mailbox.url())
	} else {
		fmt.Fprintf(&b, "  emails       go to the mail server in %sSMTP_URL\n", config.Prefix)
	}
	fmt.Fprintf(&b, "\n  accounts (all with the password %s)\n", DemoPassword)
	for _, u := range DemoUsers {
		what := strings.TrimSpace(strings.ToLower(string(u.Role)) + " " + u.profile.Specialization)
		fmt.Fprintf(&b, "    %-20s %-18s %s\n", u.Email, u.Name, what)
	}
	if appointment == "" {
		b.WriteString("\n  patient1 and doctor1 have no appointment right now: other bookings are in the way, or their\n" +
			"  accounts have changed. Book one to chat, or delete the data to start over.\n")
	} else {
		printChat(&b, instances, appointment)
	}
	fmt.Fprintf(&b, "\nPress Ctrl-C to stop everything; the data stays in %s.\n", s.postgres.Dir)
	_, _ = io.WriteString(o.Out, b.String())
}

// printChat prints how to chat in the demo appointment, its two participants on two instances.
func printChat(b *strings.Builder, instances []instance, appointment string) {
	people := []struct {
		email string
		at    instance
	}{{"patient1@demo.test", instances[0]}, {"doctor1@demo.test", instances[len(instances)-1]}}
	fmt.Fprintf(b, "\n  patient1 and doctor1 have appointment %s: chat in it on two instances.\n"+
		"  In a browser, signed in as each of them:\n\n", appointment)
	for _, who := range people {
		fmt.Fprintf(b, "    %-20s %s%s/%s\n", who.email, who.at.url, ui.AppointmentsPath, appointment)
	}
	b.WriteString("\n  Or in two terminals:\n\n")
	program := programName()
	for _, who := range people {
		fmt.Fprintf(b, "    HOUSECALL_PASSWORD=%s %s chat --as %s --server %s %s\n",
			DemoPassword, program, who.email, who.at.url, appointment)
	}
}

// programName is how the user started the program, so that the printed commands can be pasted.
func programName() string {
	exe, err := os.Executable()
	if err != nil {
		return "housecall"
	}
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, exe); err == nil && !strings.HasPrefix(rel, "..") {
			return "./" + rel
		}
	}
	return exe
}
