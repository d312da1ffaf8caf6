package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"html/template"
	"time"

	"housecall/internal/account"
	"housecall/internal/config"
	"housecall/internal/mail"
)

// TestMail sends an email that says nothing to an address, the way that all mail goes, and returns a sentence about
// where it went. Its error is a sentence that says what is set up wrongly, if that can be told.
func TestMail(ctx context.Context, cfg config.Config, to string) (string, error) {
	address, err := account.NormalizeEmail(to)
	if err != nil {
		return "", errors.New("the recipient must be an email address such as ann@example.org")
	}
	mailer, err := newMailer(cfg)
	if err != nil {
		return "", err
	}
	clinic := organizer(cfg).Name
	const words = "This email was sent to test how %s sends mail. It has arrived, so all is well."
	err = mailer.Send(ctx, mail.Message{
		ID: "test." + rand.Text() + "@" + mail.Domain(cfg.Sender()), To: mail.Address{Email: address}, Date: time.Now(),
		Subject: "Test email", Text: fmt.Sprintf(words, clinic) + "\n",
		HTML: "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Test email</title></head><body><p>" +
			template.HTMLEscapeString(fmt.Sprintf(words, clinic)) + "</p></body></html>\n",
	})
	switch {
	case err != nil:
		return "", err
	case cfg.SMTPURL == "":
		return fmt.Sprintf("No mail server is configured (%sSMTP_URL): the email was written to the folder %s.",
			config.Prefix, cfg.MailDir), nil
	}
	return "The mail server has taken the email to " + address + ". If it does not arrive, look into that server's log " +
		"and the recipient's spam folder.", nil
}
