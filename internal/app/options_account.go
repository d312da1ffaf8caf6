package app

import (
	"housecall/internal/account"
	"housecall/internal/config"
)

func accountOptions(c config.Config) account.Options {
	return account.Options{
		Secrets: c.Secrets(), RefreshTTL: c.RefreshTTL, LegacyTTL: c.LegacyTTL, InviteTTL: c.InviteTTL,
		VerifyTTL: c.VerifyTTL, ResetTTL: c.ResetTTL, RequestTimeout: c.RequestTimeout,
		LoginsPerAccount: c.LoginsPerAccount, LoginsPerAddress: c.LoginsPerAddress,
		RegistersPerAddress: c.RegistersPerAddress,
	}
}
