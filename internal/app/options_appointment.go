package app

import (
	"housecall/internal/appointment"
	"housecall/internal/config"
)

func appointmentOptions(c config.Config) appointment.Options {
	return appointment.Options{
		Zone: c.Zone(), HoldTTL: c.HoldTTL, OfferTTL: c.OfferTTL, RequestTTL: c.RequestTTL, CompleteAfter: c.CompleteAfter,
		CancellationWindow: c.CancellationWindow, FollowUpWindow: c.FollowUpWindow, MaxUpcoming: c.MaxUpcoming,
		MaxOpenRequests: c.MaxOpenRequests, MaxHolds: c.MaxHolds,
	}
}
