package preference

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"housecall/internal/httpd"
	"housecall/internal/notify"
	"housecall/internal/walltime"
)

// Routes adds one's own preferences to the API.
func Routes(s *httpd.Server, svc *Service) {
	h := handlers{svc}
	const tag = "Me"
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/me/preferences", Tag: tag, Summary: "Get my notification preferences",
		Access: httpd.SignedIn,
	}, h.serveGet)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPut, Path: "/me/preferences", Tag: tag, Summary: "Replace my notification preferences",
		Access: httpd.SignedIn,
		Description: "Whatever is left out, or null, gets its default: no time zone of your own, every kind on, no " +
			"quiet hours. Calendar invitations and cancellations are part of the notifications; a feed " +
			"(POST /me/calendar) works without them. Notifications that can wait are sent when quiet hours end, unless the " +
			"appointment begins before that.",
		Errors: []int{http.StatusPreconditionFailed, http.StatusPreconditionRequired},
	}, h.put)
}

type handlers struct{ svc *Service }

// body is the shape of requests and answers; answers leave nothing out.
type body struct {
	TimeZone   *string    `json:"timeZone" required:"false" minLength:"1" maxLength:"64" doc:"IANA name; null for none"`
	Kinds      kinds      `json:"kinds" required:"false" doc:"Which notifications are sent"`
	QuietHours *quietBody `json:"quietHours" required:"false" doc:"null for none"`
}

// kinds has a switch for each optional kind; nil means on.
type kinds map[notify.Kind]*bool

// Schema implements huma.SchemaProvider, so that notify has the only list of kinds. Unknown ones are refused by name.
func (kinds) Schema(huma.Registry) *huma.Schema {
	properties := map[string]*huma.Schema{}
	for _, k := range notify.Optional() {
		properties[string(k)] = &huma.Schema{Type: huma.TypeBoolean, Default: true}
	}
	return &huma.Schema{Type: huma.TypeObject, Properties: properties, AdditionalProperties: false}
}

type quietBody struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Schema implements huma.SchemaProvider. Huma refers to the schema of a struct by name, and panics if such a reference
// is nullable; a schema that is inline may be.
func (quietBody) Schema(huma.Registry) *huma.Schema {
	five := 5
	clock := func(example, description string) *huma.Schema {
		return &huma.Schema{
			Type: huma.TypeString, MinLength: &five, MaxLength: &five, Examples: []any{example}, Description: description,
		}
	}
	return &huma.Schema{
		Type: huma.TypeObject, Nullable: true, AdditionalProperties: false, Required: []string{"from", "to"},
		Properties: map[string]*huma.Schema{
			"from": clock("22:00", "Wall time in your own zone, or else the clinic's"),
			"to":   clock("07:00", "Exclusive; if before from, on the next day"),
		},
	}
}

type output struct {
	ETag string `header:"ETag"`
	Body body
}

func outputOf(p Preferences) *output {
	out := &output{ETag: httpd.ETag(p.Version), Body: body{Kinds: kinds{}}}
	if p.TimeZone != "" {
		out.Body.TimeZone = &p.TimeZone
	}
	for _, k := range notify.Optional() {
		on := p.Sends(k)
		out.Body.Kinds[k] = &on
	}
	if q := p.Quiet; q != nil {
		out.Body.QuietHours = &quietBody{From: walltime.Format(q.From), To: walltime.Format(q.To)}
	}
	return out
}

// preferences reads the body. A malformed clock time becomes noTime, which normalize refuses with everything else that
// is bad.
func (b body) preferences(version int) Preferences {
	p := Preferences{Version: version}
	if b.TimeZone != nil {
		p.TimeZone = *b.TimeZone
	}
	for k, on := range b.Kinds {
		if on != nil && !*on {
			p.Off = append(p.Off, k)
		}
	}
	if q := b.QuietHours; q != nil {
		p.Quiet = &QuietHours{From: clock(q.From), To: clock(q.To)}
	}
	return p
}

const noTime = -1

func clock(s string) int {
	n, err := walltime.Parse(s)
	if err != nil {
		return noTime
	}
	return n
}

func (h handlers) serveGet(ctx context.Context, _ *struct{}) (*output, error) {
	p, err := h.svc.Get(ctx, httpd.Actor(ctx))
	if err != nil {
		return nil, err
	}
	return outputOf(p), nil
}

type putInput struct {
	IfMatch string `header:"If-Match" doc:"The ETag you last saw"`
	Body    body
}

func (h handlers) put(ctx context.Context, in *putInput) (*output, error) {
	version, _, err := httpd.IfMatch(in.IfMatch, true)
	if err != nil {
		return nil, err
	}
	p, err := h.svc.Replace(ctx, httpd.Actor(ctx), in.Body.preferences(version))
	if err != nil {
		return nil, err
	}
	return outputOf(p), nil
}
