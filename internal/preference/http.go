package preference

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"housecall/internal/config"
	"housecall/internal/httpd"
)

// Routes registers the room's routes.
func Routes(s *httpd.Server, svc *Service) {
	h := handlers{svc}
	const tag = "Me"
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/me/preferences", Tag: tag, Summary: "What I am told, and when", Access: httpd.SignedIn,
	}, h.get)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPut, Path: "/me/preferences", Tag: tag, Summary: "Replace what I am told, and when", Access: httpd.SignedIn,
		Description: "What is left out, or null, gets its default: no zone of one's own, every kind on, no quiet hours.",
		Errors:      []int{http.StatusPreconditionFailed, http.StatusPreconditionRequired},
	}, h.put)
}

type handlers struct{ svc *Service }

// body is the same in both directions; answers leave nothing out.
type body struct {
	TimeZone   *string    `json:"timeZone" required:"false" minLength:"1" maxLength:"64" doc:"IANA zone in which times are told; null: none chosen"`
	Kinds      kinds      `json:"kinds" required:"false" doc:"Which kinds of notifications are sent. Invitations and cancellations for calendars travel in these mails; a feed (POST /me/calendar) needs none"`
	QuietHours *quietBody `json:"quietHours" required:"false" doc:"null: none. Notifications that can wait do so until their end, unless they are about an appointment that begins before it"`
}

// kinds has a switch for each of Kinds; nil is on.
type kinds map[string]*bool

// Schema implements huma.SchemaProvider, so that Kinds is the only list of them: others are refused by name.
func (kinds) Schema(huma.Registry) *huma.Schema {
	properties := make(map[string]*huma.Schema, len(Kinds))
	for _, k := range Kinds {
		properties[k] = &huma.Schema{Type: huma.TypeBoolean, Default: true}
	}
	return &huma.Schema{Type: huma.TypeObject, Properties: properties, AdditionalProperties: false}
}

type quietBody struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Schema implements huma.SchemaProvider. Huma names the schema of a struct and refers to it, and it panics on such a
// reference that may be null; a schema that stands in the field itself may.
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
			"from": clock("22:00", "Wall time in one's own zone, or else the clinic's"),
			"to":   clock("07:00", "Not included; before from it is the next day's"),
		},
	}
}

type output struct {
	ETag string `header:"ETag"`
	Body body
}

func outputOf(p Preferences) *output {
	out := &output{ETag: httpd.ETag(p.Version), Body: body{Kinds: make(kinds, len(Kinds))}}
	if p.TimeZone != "" {
		out.Body.TimeZone = &p.TimeZone
	}
	for _, k := range Kinds {
		on := p.Sends(k)
		out.Body.Kinds[k] = &on
	}
	if q := p.Quiet; q != nil {
		out.Body.QuietHours = &quietBody{From: config.FormatClock(q.From), To: config.FormatClock(q.To)}
	}
	return out
}

// preferences reads the body. A clock time that is none becomes noTime, which normalize names with all else that is bad.
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
	n, err := config.ParseClock(s)
	if err != nil {
		return noTime
	}
	return n
}

func (h handlers) get(ctx context.Context, _ *struct{}) (*output, error) {
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
