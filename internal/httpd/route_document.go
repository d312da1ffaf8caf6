package httpd

import (
	"cmp"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
)

// documentMedia describes an answer that the handler writes itself.
func (s *Server) documentMedia(op huma.Operation, media map[string]any) {
	if len(media) == 0 {
		return
	}
	content := map[string]*huma.MediaType{}
	for _, kind := range slices.Sorted(maps.Keys(media)) {
		schema := s.api.OpenAPI().Components.Schemas.Schema(reflect.TypeOf(media[kind]), true, op.OperationID+"-event")
		content[kind] = &huma.MediaType{Schema: schema}
	}
	item := s.api.OpenAPI().Paths[op.Path]
	for _, o := range []*huma.Operation{item.Get, item.Post} {
		if o != nil && o.Method == op.Method {
			o.Responses[strconv.Itoa(cmp.Or(op.DefaultStatus, http.StatusOK))].Content = content
		}
	}
}

// common are the statuses with which every route can answer, before a handler sees the request.
var common = []int{
	http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong,
	http.StatusUnsupportedMediaType, http.StatusRequestHeaderFieldsTooLarge, http.StatusInternalServerError,
}

// describeCommon describes the common answers once for all routes.
func (s *Server) describeCommon() {
	components := s.api.OpenAPI().Components
	components.Responses = map[string]*huma.Response{}
	schema := components.Schemas.Schema(reflect.TypeFor[problem](), true, "")
	for _, status := range common {
		components.Responses[strconv.Itoa(status)] = &huma.Response{
			Description: frameworkProblem(status).Detail, Content: map[string]*huma.MediaType{ProblemType: {Schema: schema}},
		}
	}
}

// documentCommon has an operation refer to the common answers. What it says itself of a status counts more.
func (s *Server) documentCommon(op *huma.Operation) {
	if op.Responses == nil {
		op.Responses = map[string]*huma.Response{}
	}
	for _, status := range common {
		if code := strconv.Itoa(status); !slices.Contains(op.Errors, status) {
			op.Responses[code] = &huma.Response{Ref: "#/components/responses/" + code}
		}
	}
}

// documentFile describes the answers in the document. In OpenAPI 3.1 bytes are a media type without a schema.
func documentFile(op *huma.Operation, f File) {
	content := make(map[string]*huma.MediaType, len(f.Types))
	for _, kind := range f.Types {
		content[kind] = &huma.MediaType{}
	}
	op.Responses["200"] = &huma.Response{Description: "The file", Content: content}
	if !f.Whole {
		op.Responses["206"] = &huma.Response{Description: "The range that the client asked for", Content: content}
		op.Responses["304"] = &huma.Response{Description: "The client has it already"}
	}
}
