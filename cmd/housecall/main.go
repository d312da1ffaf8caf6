// Command housecall is the whole service: serve runs an instance, dev runs the whole product on one machine, and the
// other commands operate it. It parses the command line and calls app or dev; only this package exits.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"housecall/internal/app"
)

// The build sets version.
var version = "dev"

func main() {
	app.Version = version
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal kills the process: people who press Ctrl-C twice do not want to wait.
	context.AfterFunc(ctx, stop)
	err := rootCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "housecall: "+err.Error())
		os.Exit(1)
	}
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "housecall",
		Short: "A chat-first clinic service: appointments over REST, conversations over WebSocket",
		Long: `Housecall is a chat-first clinic service: patients and doctors book appointments over REST and chat in them
over WebSocket. Any number of instances share one PostgreSQL and one Redis.

Try it:    housecall dev
Run it:    housecall serve, configured through environment variables (see housecall serve --help)`,
		SilenceUsage: true, SilenceErrors: true, Version: version,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.AddCommand(serveCommand(), devCommand(), migrateCommand(), adminCommand(), chatCommand(), mailCommand(),
		healthcheckCommand(), versionCommand())
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), version)
			return err
		},
	}
}
