package app

import (
	"context"
	"time"

	"housecall/internal/account"
	"housecall/internal/postgres"
)

// noMail stands where the mails about accounts will be sent: it sends none.
type noMail struct{}

var _ account.Mail = noMail{}

// Invitation implements account.Mail.
func (noMail) Invitation(context.Context, *postgres.Tx, int64, string, time.Time) error { return nil }

// PasswordReset implements account.Mail.
func (noMail) PasswordReset(context.Context, *postgres.Tx, int64, string, time.Time) error {
	return nil
}

// VerifyEmail implements account.Mail.
func (noMail) VerifyEmail(context.Context, *postgres.Tx, int64, string, string, time.Time) error {
	return nil
}

// EmailChanged implements account.Mail.
func (noMail) EmailChanged(context.Context, *postgres.Tx, int64, string) error { return nil }
