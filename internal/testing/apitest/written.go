package apitest

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"housecall/internal/httpd"
)

// CheckWritten compares the shapes that a server's routes answer with its description: encoding/json must write the
// same fields. Huma leaves out some that encoding/json writes, such as those of an embedded struct whose name is in
// lower case, and says that nothing else may come.
func CheckWritten(s *httpd.Server) error {
	document, err := s.Document()
	if err != nil {
		return err
	}
	d, err := Describe(document)
	if err != nil {
		return err
	}
	var all []error
	for _, out := range s.Outputs() {
		body, ok := out.Type.FieldByName("Body")
		if !ok || body.Type.Kind() == reflect.Func { // it has no body, or is a file
			continue
		}
		all = append(all, d.checkWritten(out, body.Type))
	}
	return errors.Join(all...)
}

func (d *Description) checkWritten(out httpd.Output, body reflect.Type) error {
	_, op, ok := d.find(out.Method, out.Path)
	if !ok {
		return fmt.Errorf("%s %s is not described", out.Method, out.Path)
	}
	for status, response := range op.Responses {
		if _, ok := response.Content["application/json"]; !ok || !strings.HasPrefix(status, "2") {
			continue
		}
		full := reflect.New(body).Elem()
		fill(full, maxDepth)
		raw, err := json.Marshal(full.Interface())
		if err != nil {
			return fmt.Errorf("write %s: %w", body, err)
		}
		number, err := strconv.Atoi(status)
		if err != nil {
			return fmt.Errorf("%s %s: %w", out.Method, out.Path, err)
		}
		var invalid *jsonschema.ValidationError
		err = d.validate(pointer(out.Path, out.Method, number, "application/json"), raw)
		if errors.As(err, &invalid) {
			err = otherFields(invalid)
		}
		if err != nil {
			return fmt.Errorf("%s %s writes what its schema denies: %w: %s", out.Method, out.Path, err, raw)
		}
	}
	return nil
}

// otherFields returns an error about fields that are missing, undescribed or of another type; any value of the right
// type is as good as any other here.
func otherFields(e *jsonschema.ValidationError) error {
	switch e.ErrorKind.(type) {
	case *kind.AdditionalProperties, *kind.Required, *kind.Type:
		return e
	}
	all := make([]error, 0, len(e.Causes))
	for _, cause := range e.Causes {
		all = append(all, otherFields(cause))
	}
	return errors.Join(all...)
}

// maxDepth limits how far a type that contains itself is filled.
const maxDepth = 12

// fill sets everything in v that can be set, so that nothing is left out as empty.
func fill(v reflect.Value, depth int) {
	if !v.CanSet() && v.Kind() != reflect.Struct || depth == 0 {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth-1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), depth-1)
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), depth-1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type())) // its keys are data, and no fields
	case reflect.Struct:
		if v.CanSet() && v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1, 0).UTC()))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), depth-1)
		}
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	default:
		fillNumber(v)
	}
}

func fillNumber(v reflect.Value) {
	switch {
	case v.CanInt():
		v.SetInt(1)
	case v.CanUint():
		v.SetUint(1)
	case v.CanFloat():
		v.SetFloat(1)
	}
}
