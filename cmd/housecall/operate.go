package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"housecall/internal/app"
	"housecall/internal/config"
)

func migrateCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "migrate", Short: "Apply or list database migrations"}
	cmd.AddCommand(
		&cobra.Command{
			Use: "up", Short: "Apply pending migrations; several runs at once wait for each other", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				cfg, err := databaseConfig()
				if err != nil {
					return err
				}
				if err := app.Migrate(cmd.Context(), cfg, waiting(cmd)); err != nil {
					return err
				}
				_, err = fmt.Fprintln(cmd.OutOrStdout(), "The database schema is up to date.")
				return err
			},
		},
		&cobra.Command{
			Use: "status", Short: "List migrations and when they were applied", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				cfg, err := databaseConfig()
				if err != nil {
					return err
				}
				return printStatus(cmd, cfg)
			},
		},
	)
	return cmd
}

// waiting tells the operator what a command is waiting for.
func waiting(cmd *cobra.Command) func(error) {
	return func(err error) { _, _ = fmt.Fprintf(cmd.ErrOrStderr(), "waiting: %v\n", err) } // nobody left to tell
}

func printStatus(cmd *cobra.Command, cfg config.Config) error {
	all, err := app.MigrationStatus(cmd.Context(), cfg, waiting(cmd))
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "VERSION\tAPPLIED\tNAME") // Flush reports errors
	for _, m := range all {
		applied := "pending"
		if !m.AppliedAt.IsZero() {
			applied = m.AppliedAt.UTC().Format("2006-01-02 15:04:05 MST")
		}
		_, _ = fmt.Fprintf(w, "%d\t%s\t%s\n", m.Version, applied, m.Name)
	}
	return w.Flush()
}

// databaseConfig reads the environment but requires only what PostgreSQL needs, unlike serve.
func databaseConfig() (config.Config, error) {
	cfg, err := config.Unchecked()
	if err != nil {
		return config.Config{}, err
	}
	if cfg.DatabaseURL == "" {
		return config.Config{}, errors.New(config.Prefix + "DATABASE_URL is required")
	}
	return cfg, nil
}

func adminCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "admin", Short: "Create administrators and verify the audit trail"}
	cmd.AddCommand(adminCreateCommand(), &cobra.Command{
		Use: "verify-audit", Short: "Check that the audit trail has not been altered", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := databaseConfig()
			if err != nil {
				return err
			}
			return printAudit(cmd, cfg)
		},
	})
	return cmd
}

func adminCreateCommand() *cobra.Command {
	var name, email string
	cmd := &cobra.Command{
		Use: "create --email EMAIL --name NAME", Short: "Create an administrator", Args: cobra.NoArgs,
		Long: `Create an administrator who can sign in at once. The password comes from HOUSECALL_PASSWORD, a line of
piped input, or a prompt.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := databaseConfig()
			if err != nil {
				return err
			}
			password, err := newPassword(cmd)
			if err != nil {
				return err
			}
			user, err := app.CreateAdmin(cmd.Context(), cfg, name, email, password)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "Created administrator %s (%s).\n", user.PublicID, user.Email)
			return err
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "the administrator's name (required)")
	cmd.Flags().StringVar(&email, "email", "", "email address to sign in with (required)")
	_ = cmd.MarkFlagRequired("name")  // the flag exists
	_ = cmd.MarkFlagRequired("email") // the flag exists
	return cmd
}

func newPassword(cmd *cobra.Command) (string, error) {
	if p := config.Password(); p != "" {
		return p, nil
	}
	in := int(os.Stdin.Fd())
	if !term.IsTerminal(in) {
		line, err := bufio.NewReader(os.Stdin).ReadString('\n')
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			return "", errors.Join(errors.New("no password: set HOUSECALL_PASSWORD or pipe one in, as a line"), err)
		}
		return line, nil
	}
	ask := func(prompt string) (string, error) {
		_, _ = fmt.Fprint(cmd.ErrOrStderr(), prompt)
		b, err := term.ReadPassword(in)
		_, _ = fmt.Fprintln(cmd.ErrOrStderr())
		return string(b), err
	}
	first, err := ask("New password: ")
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	second, err := ask("Repeat password: ")
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	if first != second {
		return "", errors.New("the passwords do not match")
	}
	return first, nil
}

func printAudit(cmd *cobra.Command, cfg config.Config) error {
	report, err := app.VerifyAudit(cmd.Context(), cfg)
	if err != nil {
		return err
	}
	if report.Broken != 0 {
		return fmt.Errorf("%w at position %d: a row was altered or is missing", app.ErrAuditBroken, report.Broken)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "The audit trail is intact: %d rows sealed, %d waiting, head %x.\n",
		report.Sealed, report.Unsealed, report.Head)
	return err
}
