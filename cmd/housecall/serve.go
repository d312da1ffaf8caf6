package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"housecall/internal/app"
	"housecall/internal/config"
	"housecall/internal/dev"
)

func serveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "serve", Short: "Run an instance", Args: cobra.NoArgs,
		Long: "Run an instance until SIGTERM or Ctrl-C, which shut it down gracefully. It first applies\n" +
			"pending migrations, and logs JSON lines to stderr.\n\nEnvironment:\n" + config.Help(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.FromEnv()
			if err != nil {
				return fmt.Errorf("the configuration is invalid:\n%w", err)
			}
			level, err := zerolog.ParseLevel(cfg.LogLevel)
			if err != nil {
				return fmt.Errorf("parse log level: %w", err)
			}
			return app.Run(cmd.Context(), cfg, zerolog.New(os.Stderr).Level(level).With().Timestamp().Logger())
		},
	}
}

func devCommand() *cobra.Command {
	var o dev.Options
	var verbose bool
	cmd := &cobra.Command{
		Use: "dev", Short: "Run the whole product on this machine, with demo data", Args: cobra.NoArgs,
		Long: `Run a private PostgreSQL and Redis, and an instance on each port with demo data, until Ctrl-C.

The data stays in the folder for the next start; delete the folder to start over. (PostgreSQL does not run as root:
if the user it runs as instead cannot reach the folder, its data is in a folder under /var/tmp, which the table at
the start names.) It does not touch other servers on this machine. HOUSECALL_ variables that describe the clinic also
apply here (see housecall serve --help), and emails go to the mail server in HOUSECALL_SMTP_URL if that is set;
dev chooses addresses, database and secrets itself.`,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.Dir, err = filepath.Abs(o.Dir); err != nil {
				return fmt.Errorf("find the folder: %w", err)
			}
			if err := checkPorts(o.Ports); err != nil {
				return err
			}
			o.Out = cmd.OutOrStdout()
			level := zerolog.WarnLevel
			if verbose {
				level = zerolog.InfoLevel
			}
			console := zerolog.ConsoleWriter{Out: os.Stderr, TimeFormat: time.TimeOnly}
			o.Log = zerolog.New(console).Level(level).With().Timestamp().Logger()
			if err = dev.Run(cmd.Context(), o); cmd.Context().Err() != nil && errors.Is(err, context.Canceled) {
				err = nil // stopped during start-up, as requested
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Dir, "dir", ".housecall/dev", "folder for the data")
	f.IntSliceVar(&o.Ports, "ports", []int{6001, 6002}, "ports, one for each instance")
	f.BoolVarP(&verbose, "verbose", "v", false, "also log requests")
	return cmd
}

func checkPorts(ports []int) error {
	if len(ports) == 0 {
		return errors.New("--ports needs at least one port")
	}
	for i, p := range ports {
		if p < 1 || p > 65535 || slices.Contains(ports[:i], p) {
			return errors.New("--ports must be different numbers from 1 to 65535")
		}
	}
	return nil
}

// healthcheckCommand checks an instance from inside a container image, which has no shell.
func healthcheckCommand() *cobra.Command {
	var url string
	cmd := &cobra.Command{
		Use: "healthcheck", Short: "Check whether an instance is ready", Args: cobra.NoArgs, Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 3*time.Second)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
			if err != nil {
				return fmt.Errorf("--url: %w", err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return fmt.Errorf("ask %s: %w", url, err)
			}
			defer resp.Body.Close() //nolint:errcheck // only read
			if _, err := io.Copy(cmd.OutOrStdout(), resp.Body); err != nil {
				return fmt.Errorf("read the answer: %w", err)
			}
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("not ready: %s", resp.Status)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&url, "url", "http://127.0.0.1:6001/readyz", "URL to check")
	return cmd
}
