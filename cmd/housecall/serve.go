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
		Long: "Run an instance until SIGTERM or Ctrl-C, which stop it gracefully. It migrates the schema first.\n" +
			"The log goes to stderr as JSON lines.\n\nEnvironment:\n" + config.Help(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.FromEnv()
			if err != nil {
				return fmt.Errorf("the configuration is not valid:\n%w", err)
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
		Use: "dev", Short: "Run the whole product here, with demo data", Args: cobra.NoArgs,
		Long: `Run a private PostgreSQL and Redis, an instance on each port, and demo data, until Ctrl-C.

The data stays in the folder and is there at the next start; remove the folder to begin anew. (PostgreSQL does not
run as root: where the user it runs as instead cannot reach the folder, its data is in one of /var/tmp, as the table
at the start says.) The servers of the machine are not touched. What the HOUSECALL_ environment says of the clinic
counts here too (housecall serve --help); addresses, the database and secrets are dev's own.`,
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
			o.Log = zerolog.New(zerolog.ConsoleWriter{Out: os.Stderr, TimeFormat: time.TimeOnly}).Level(level).With().Timestamp().Logger()
			if err = dev.Run(cmd.Context(), o); cmd.Context().Err() != nil && errors.Is(err, context.Canceled) {
				err = nil // stopped while it was starting, as asked
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Dir, "dir", ".housecall/dev", "folder of the data")
	f.IntSliceVar(&o.Ports, "ports", []int{6001, 6002}, "port of each instance")
	f.BoolVarP(&verbose, "verbose", "v", false, "log requests too")
	return cmd
}

func checkPorts(ports []int) error {
	if len(ports) == 0 {
		return errors.New("--ports needs at least one port")
	}
	for i, p := range ports {
		if p < 1 || p > 65535 || slices.Contains(ports[:i], p) {
			return errors.New("--ports takes different ports from 1 to 65535")
		}
	}
	return nil
}

// healthcheckCommand is for container images without a shell.
func healthcheckCommand() *cobra.Command {
	var url string
	cmd := &cobra.Command{
		Use: "healthcheck", Short: "Ask an instance whether it is ready", Args: cobra.NoArgs, Hidden: true,
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
	cmd.Flags().StringVar(&url, "url", "http://127.0.0.1:6001/readyz", "address to ask")
	return cmd
}
