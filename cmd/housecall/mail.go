package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"housecall/internal/app"
	"housecall/internal/config"
)

func mailCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "mail", Short: "Test how mail is set up"}
	var to string
	test := &cobra.Command{
		Use: "test --to EMAIL", Short: "Send a test email", Args: cobra.NoArgs,
		Long: `Send a test email to an address, with the mail server that serve would use (HOUSECALL_SMTP_URL,
HOUSECALL_MAIL_FROM). If that fails, say in words what is wrong: no such host, a certificate that is not trusted, a
wrong password and so on. A slow server may take minutes; Ctrl-C gives up.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Unchecked()
			if err != nil {
				return err
			}
			if err := cfg.CheckMail(); err != nil {
				return fmt.Errorf("the configuration is invalid:\n%w", err)
			}
			said, err := app.TestMail(cmd.Context(), cfg, to)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), said)
			return err
		},
	}
	test.Flags().StringVar(&to, "to", "", "address of the recipient (required)")
	_ = test.MarkFlagRequired("to") // the flag exists
	cmd.AddCommand(test)
	return cmd
}
