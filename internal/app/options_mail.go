package app

import (
	"fmt"

	"housecall/internal/config"
	"housecall/internal/mail"
)

// mailServer is the mail server that SMTP_URL names.
func mailServer(c config.Config) (mail.Server, error) {
	s, err := config.ParseSMTP(c.SMTPURL)
	if err != nil {
		return mail.Server{}, fmt.Errorf("%sSMTP_URL %w", config.Prefix, err)
	}
	return mail.Server{
		Host: s.Host, Port: s.Port, User: s.User, Password: s.Password.Reveal(), Implicit: s.Implicit, Plain: s.Plain,
	}, nil
}
