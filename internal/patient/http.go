package patient

import (
	"context"
	"net/http"
	"strings"
	"time"

	"housecall/internal/auth"
	"housecall/internal/httpd"
)

const tag = "patients"

// Routes adds the routes for patients.
func Routes(s *httpd.Server, svc *Service) {
	h := handlers{svc}
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/patients", Tag: tag, Summary: "List patients", Access: httpd.SignedIn,
		Description: "Admins see all patients, doctors those assigned to them or theirs by appointment, patients only " +
			"themselves.",
	}, h.serveList)
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/patients/{id}", Tag: tag,
		Summary:     "Get a registry entry",
		Access:      httpd.SignedIn,
		Description: "Allowed for the patient, their doctors and admins. Reading someone else's entry is audited.",
		Errors:      []int{http.StatusNotFound},
	}, h.serveGet)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPatch, Path: "/patients/{id}", Tag: tag,
		Summary: "Change a registry entry",
		Access:  httpd.SignedIn,
		Description: "Allowed for the patient and admins. Fields that are left out or null stay as they are; an empty " +
			"text clears a field.",
		Errors: []int{
			http.StatusForbidden, http.StatusNotFound, http.StatusPreconditionFailed, http.StatusPreconditionRequired,
		},
	}, h.patch)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPut, Path: "/patients/{id}/doctor", Tag: tag, Summary: "Assign a doctor",
		Description: "Admins assign any doctor, doctors only themselves. null removes the assignment. A doctor who " +
			"cannot read the entry yet sends If-Match: *, which stands for any version. Audited.",
		Access: httpd.Only(auth.Doctor, auth.Admin),
		Errors: []int{http.StatusNotFound, http.StatusPreconditionFailed, http.StatusPreconditionRequired},
	}, h.serveAssign)
}

type handlers struct{ svc *Service }

// Path is the id of a patient. It is exported because Huma cannot see unexported embedded types.
type Path struct {
	ID string `path:"id" maxLength:"20" doc:"The patient's public id"`
}

type entryBody struct {
	UserID      string      `json:"userId"`
	Name        string      `json:"name"`
	Phone       string      `json:"phone" doc:"As typed"`
	PhoneE164   string      `json:"phoneE164,omitempty" doc:"The same number in E.164; absent if that cannot be told"`
	Gender      string      `json:"gender" enum:"male,female,other," doc:"Empty: unknown"`
	DateOfBirth string      `json:"dateOfBirth,omitempty" format:"date" doc:"Absent: unknown"`
	StatedAge   *ageBody    `json:"statedAge,omitempty" doc:"The age that the patient stated, if they gave no date of birth"`
	Address     string      `json:"address"`
	Doctor      *doctorBody `json:"doctor,omitempty" doc:"The assigned doctor; absent: none"`
}

type ageBody struct {
	Years int    `json:"years"`
	On    string `json:"on" format:"date" doc:"The day on which the age was stated"`
}

type doctorBody struct {
	UserID string `json:"userId"`
	Name   string `json:"name"`
}

func bodyOf(p Patient) entryBody {
	b := entryBody{
		UserID: p.UserID, Name: p.Name, Phone: p.Phone, PhoneE164: p.PhoneE164, Gender: p.Gender, Address: p.Address,
	}
	if p.DateOfBirth != nil {
		b.DateOfBirth = p.DateOfBirth.Format(time.DateOnly)
	} else if p.StatedAge != nil {
		b.StatedAge = &ageBody{Years: p.StatedAge.Years, On: p.StatedAge.On.Format(time.DateOnly)}
	}
	if p.Doctor != nil {
		b.Doctor = &doctorBody{UserID: p.Doctor.UserID, Name: p.Doctor.Name}
	}
	return b
}

type entryOutput struct {
	ETag string `header:"ETag"`
	Body entryBody
}

func outputOf(p Patient, err error) (*entryOutput, error) {
	if err != nil {
		return nil, err
	}
	return &entryOutput{ETag: httpd.ETag(p.Version), Body: bodyOf(p)}, nil
}

type listInput struct{ httpd.PageQuery }

type listOutput struct{ Body httpd.Page[entryBody] }

func (h handlers) serveList(ctx context.Context, in *listInput) (*listOutput, error) {
	var after int64
	if err := httpd.DecodeCursor(ctx, in.Cursor, &after); err != nil {
		return nil, err
	}
	page, more, err := h.svc.List(ctx, httpd.Actor(ctx), after, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &listOutput{}
	for _, p := range page {
		out.Body.Items = append(out.Body.Items, bodyOf(p))
	}
	if more {
		out.Body.NextCursor = httpd.EncodeCursor(ctx, page[len(page)-1].ID)
	}
	return out, nil
}

func (h handlers) serveGet(ctx context.Context, in *Path) (*entryOutput, error) {
	return outputOf(h.svc.Get(ctx, httpd.Actor(ctx), in.ID))
}

type patchInput struct {
	Path
	IfMatch string `header:"If-Match" doc:"The ETag you last saw"`
	Body    struct {
		Phone       *string `json:"phone,omitempty" maxLength:"40"`
		Gender      *string `json:"gender,omitempty" enum:"male,female,other," doc:"Empty: unknown"`
		DateOfBirth *string `json:"dateOfBirth,omitempty" maxLength:"10" example:"1990-12-31" doc:"Empty: unknown"`
		Address     *string `json:"address,omitempty" maxLength:"500"`
	}
}

func (h handlers) patch(ctx context.Context, in *patchInput) (*entryOutput, error) {
	version, _, err := httpd.IfMatch(in.IfMatch, true)
	if err != nil {
		return nil, err
	}
	c := Change{Phone: in.Body.Phone, Gender: in.Body.Gender, Address: in.Body.Address}
	if born := in.Body.DateOfBirth; born != nil {
		c.DateOfBirth = new(time.Time)
		if *born != "" {
			if *c.DateOfBirth, err = ParseDate(*born); err != nil {
				return nil, err
			}
		}
	}
	return outputOf(h.svc.Change(ctx, httpd.Actor(ctx), in.ID, version, c))
}

type assignInput struct {
	Path
	IfMatch string `header:"If-Match" doc:"The ETag you last saw, or *"`
	Body    struct {
		DoctorID *string `json:"doctorId" maxLength:"20" doc:"null: none"`
	}
}

func (h handlers) serveAssign(ctx context.Context, in *assignInput) (*entryOutput, error) {
	version := AnyVersion
	if strings.TrimSpace(in.IfMatch) != "*" { // RFC 9110, 13.1.1
		var err error
		if version, _, err = httpd.IfMatch(in.IfMatch, true); err != nil {
			return nil, err
		}
	}
	var doctor string
	if d := in.Body.DoctorID; d != nil {
		if doctor = *d; doctor == "" {
			return nil, errNoDoctor
		}
	}
	return outputOf(h.svc.Assign(ctx, httpd.Actor(ctx), in.ID, version, doctor))
}
