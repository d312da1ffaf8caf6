package doctor

import (
	"context"
	"net/http"
	"time"

	"housecall/internal/auth"
	"housecall/internal/httpd"
)

const tag = "doctors"

// ifMatchErrors are the statuses of routes that need If-Match.
var ifMatchErrors = []int{http.StatusNotFound, http.StatusPreconditionFailed, http.StatusPreconditionRequired}

// Routes adds the routes for doctors.
func Routes(s *httpd.Server, svc *Service) {
	h := handlers{svc}
	staff := httpd.Only(auth.Doctor, auth.Admin)
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/doctors", Tag: tag, Summary: "Search the directory", Access: httpd.Public,
		Description: "Sorted by name, in the clinic's alphabetical order. Disabled doctors are not listed. A search does " +
			"not mind case and accents.",
	}, h.list)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/doctors", Tag: tag, Summary: "Invite a doctor", Status: http.StatusCreated,
		Description: "The invitation's token is emailed, and shown only once. Until the invitation is accepted, the " +
			"doctor can be found and booked by name, but requests for a specialization do not go to them.",
		Access: httpd.Only(auth.Admin), Errors: []int{http.StatusConflict},
	}, h.serveCreate)
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/doctors/{id}", Tag: tag, Summary: "Get a profile", Access: httpd.Public,
		Description: "The phone number is shown only to the doctor and to admins.", Errors: []int{http.StatusNotFound},
	}, h.serveGet)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPatch, Path: "/doctors/{id}", Tag: tag, Summary: "Change a profile",
		Description: "Fields that are left out or null stay as they are; an empty text clears a field.",
		Access:      staff, Errors: ifMatchErrors,
	}, h.patch)
	scheduleRoutes(s, h)
}

type handlers struct{ svc *Service }

// Path is the id of a doctor. It and Match are exported because Huma cannot see unexported embedded types.
type Path struct {
	ID string `path:"id" maxLength:"20" doc:"The doctor's public id"`
}

// Match holds the precondition of a change.
type Match struct {
	IfMatch string `header:"If-Match" doc:"The ETag you last saw"`
}

// ProfileBody is a doctor's profile; Phone and PhoneE164 are empty except for the doctor and admins. Huma leaves the
// fields of an embedded type out of the schema unless its name is exported.
type ProfileBody struct {
	UserID         string `json:"userId"`
	Name           string `json:"name"`
	Specialization string `json:"specialization"`
	Qualification  string `json:"qualification"`
	Experience     int    `json:"experience" doc:"Years"`
	Phone          string `json:"phone,omitempty" doc:"As typed; shown only to the doctor and admins"`
	PhoneE164      string `json:"phoneE164,omitempty" doc:"The same number in E.164; absent if that cannot be told"`
	TimeZone       string `json:"timeZone" doc:"IANA zone of the doctor's hours"`
	SlotMinutes    int    `json:"slotMinutes"`
}

// publicBody is what anyone may see; only privateBody adds the phone number.
func publicBody(d Doctor) ProfileBody {
	return ProfileBody{
		UserID: d.UserID, Name: d.Name, Specialization: d.Specialization, Qualification: d.Qualification,
		Experience: d.Experience, TimeZone: d.TimeZone, SlotMinutes: d.SlotMinutes,
	}
}

func privateBody(d Doctor) ProfileBody {
	b := publicBody(d)
	b.Phone, b.PhoneE164 = d.Phone, d.PhoneE164
	return b
}

type profileOutput struct {
	ETag string `header:"ETag"`
	Body ProfileBody
}

type listInput struct {
	httpd.PageQuery
	Q              string `query:"q" maxLength:"100" doc:"Text to find in name, specialization or qualification"`
	Specialization string `query:"specialization" maxLength:"200" doc:"Exactly this specialization, case-insensitive"`
}

type listOutput struct{ Body httpd.Page[ProfileBody] }

func (h handlers) list(ctx context.Context, in *listInput) (*listOutput, error) {
	var after Position
	if err := httpd.DecodeCursor(ctx, in.Cursor, &after.Name, &after.UserID, &after.Collation); err != nil {
		return nil, err
	}
	page, more, err := h.svc.Directory(ctx, Filter{Text: in.Q, Specialization: in.Specialization}, after, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &listOutput{}
	for _, d := range page {
		out.Body.Items = append(out.Body.Items, publicBody(d))
	}
	if more {
		last := h.svc.PositionOf(page[len(page)-1])
		out.Body.NextCursor = httpd.EncodeCursor(ctx, last.Name, last.UserID, last.Collation)
	}
	return out, nil
}

func (h handlers) serveGet(ctx context.Context, in *Path) (*profileOutput, error) {
	d, err := h.svc.Get(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out := &profileOutput{ETag: httpd.ETag(d.Version), Body: publicBody(d)}
	if a := httpd.Actor(ctx); a.Role == auth.Admin || a.ID == d.ID {
		out.Body = privateBody(d)
	}
	return out, nil
}

type createInput struct {
	Body struct {
		Name           string `json:"name" minLength:"1" maxLength:"100"`
		Email          string `json:"email" minLength:"3" maxLength:"254"`
		Specialization string `json:"specialization" maxLength:"200"`
		Qualification  string `json:"qualification" maxLength:"200"`
		Experience     int    `json:"experience" minimum:"0" maximum:"80" doc:"Years"`
		Phone          string `json:"phone" maxLength:"40"`
		TimeZone       string `json:"timeZone,omitempty" maxLength:"64" doc:"IANA zone; the clinic's if left out"`
		SlotMinutes    int    `json:"slotMinutes,omitempty" minimum:"5" maximum:"480" doc:"The clinic's if left out"`
	}
}

type createOutput struct {
	ETag     string `header:"ETag"`
	Location string `header:"Location"`
	Body     struct {
		ProfileBody
		Invitation invitationBody `json:"invitation"`
	}
}

type invitationBody struct {
	Token     string    `json:"token" doc:"For POST /auth/invitations/accept; shown only once"`
	ExpiresAt time.Time `json:"expiresAt"`
}

func (h handlers) serveCreate(ctx context.Context, in *createInput) (*createOutput, error) {
	b := in.Body
	d, inv, err := h.svc.Invite(ctx, httpd.Actor(ctx), NewDoctor{
		Name: b.Name, Email: b.Email, TimeZone: b.TimeZone, SlotMinutes: b.SlotMinutes,
		Profile: Profile{
			Specialization: b.Specialization, Qualification: b.Qualification, Experience: b.Experience, Phone: b.Phone,
		},
	})
	if err != nil {
		return nil, err
	}
	out := &createOutput{ETag: httpd.ETag(d.Version), Location: httpd.APIPrefix + "/doctors/" + d.UserID}
	out.Body.ProfileBody = privateBody(d)
	out.Body.Invitation = invitationBody(inv)
	return out, nil
}

type patchInput struct {
	Path
	Match
	Body struct {
		Specialization *string `json:"specialization,omitempty" maxLength:"200"`
		Qualification  *string `json:"qualification,omitempty" maxLength:"200"`
		Experience     *int    `json:"experience,omitempty" minimum:"0" maximum:"80" doc:"Years"`
		Phone          *string `json:"phone,omitempty" maxLength:"40"`
	}
}

func (h handlers) patch(ctx context.Context, in *patchInput) (*profileOutput, error) {
	version, _, err := httpd.IfMatch(in.IfMatch, true)
	if err != nil {
		return nil, err
	}
	d, err := h.svc.Change(ctx, httpd.Actor(ctx), in.ID, version, Change(in.Body))
	if err != nil {
		return nil, err
	}
	return &profileOutput{ETag: httpd.ETag(d.Version), Body: privateBody(d)}, nil
}
