package chat

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// source is what the package's own code says of frames, so that a new one cannot be forgotten in a list.
type source struct {
	types        map[string]ast.Expr
	inboundTypes []string       // that Decode knows, sorted
	closeCodes   map[string]int // by the constant's name
}

// jsonField is a field of a struct as encoding/json would write it.
type jsonField struct {
	name     string
	optional bool // omitempty
	of       ast.Expr
}

func readSource(t testing.TB) *source {
	t.Helper()
	s := &source{types: map[string]ast.Expr{}, closeCodes: map[string]int{}}
	entries, err := os.ReadDir(".")
	require.NoError(t, err)
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(file, s.look)
	}
	slices.Sort(s.inboundTypes)
	require.NotEmpty(t, s.inboundTypes)
	require.NotEmpty(t, s.closeCodes)
	return s
}

func (s *source) look(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.TypeSpec:
		s.types[n.Name.Name] = n.Type
	case *ast.ValueSpec:
		if name := n.Names[0].Name; strings.HasPrefix(name, "close") && len(n.Values) == 1 {
			if literal, ok := n.Values[0].(*ast.BasicLit); ok && literal.Kind == token.INT {
				s.closeCodes[name], _ = strconv.Atoi(literal.Value)
			}
		}
	case *ast.FuncDecl:
		if n.Recv != nil && isPointerTo(n.Recv.List[0].Type, "wireInbound") {
			ast.Inspect(n.Body, s.lookForTypes)
		}
	}
	return true
}

// lookForTypes notes the cases of a switch over the frame's type.
func (s *source) lookForTypes(n ast.Node) bool {
	sw, ok := n.(*ast.SwitchStmt)
	if !ok {
		return true
	}
	if tag, ok := sw.Tag.(*ast.SelectorExpr); !ok || tag.Sel.Name != "Type" {
		return true
	}
	for _, clause := range sw.Body.List {
		for _, e := range clause.(*ast.CaseClause).List {
			if literal, ok := e.(*ast.BasicLit); ok {
				kind, _ := strconv.Unquote(literal.Value)
				s.inboundTypes = append(s.inboundTypes, kind)
			}
		}
	}
	return true
}

func isPointerTo(e ast.Expr, name string) bool {
	star, ok := e.(*ast.StarExpr)
	if !ok {
		return false
	}
	ident, ok := star.X.(*ast.Ident)
	return ok && ident.Name == name
}

// frames are the structs that begin with a field type, by the names under which they are documented: helloFrame as
// hello, and eventBody, which is also what REST calls an event, as event.
func (s *source) frames() map[string]*ast.StructType {
	out := map[string]*ast.StructType{}
	for name, e := range s.types {
		st, ok := e.(*ast.StructType)
		if !ok || name == "wireInbound" {
			continue
		}
		if fields := s.fields(st); len(fields) > 0 && fields[0].name == "type" {
			out[strings.TrimSuffix(strings.TrimSuffix(name, "Frame"), "Body")] = st
		}
	}
	return out
}

func (s *source) structOf(name string) map[string]jsonField {
	out := map[string]jsonField{}
	if st, ok := s.types[name].(*ast.StructType); ok {
		for _, f := range s.fields(st) {
			out[f.name] = f
		}
	}
	return out
}

// fields are those with a name in JSON; embedded structs' are among them.
func (s *source) fields(st *ast.StructType) (out []jsonField) {
	for _, f := range st.Fields.List {
		if len(f.Names) == 0 {
			if ident, ok := f.Type.(*ast.Ident); ok {
				if inner, ok := s.types[ident.Name].(*ast.StructType); ok {
					out = append(out, s.fields(inner)...)
				}
			}
			continue
		}
		if f.Tag == nil {
			continue
		}
		tag, _ := strconv.Unquote(f.Tag.Value)
		name, options, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
		if name != "" && name != "-" {
			out = append(out, jsonField{name: name, optional: options == "omitempty", of: f.Type})
		}
	}
	return out
}

// requireSame compares a struct with a documented object: the same fields, the same of them required, of such types.
func (p *paper) requireSame(t *testing.T, src *source, where string, st *ast.StructType, object map[string]any) {
	t.Helper()
	properties := p.object(t, object, "properties")
	required, _ := object["required"].([]any)
	found := 0
	for _, f := range src.fields(st) {
		at := where + "." + f.name
		require.Contains(t, properties, f.name, "asyncapi.json does not describe %s", at)
		found++
		require.Equal(t, !f.optional, slices.Contains(required, any(f.name)), "%s is required", at)
		p.requireType(t, src, at, f.of, p.object(t, properties[f.name]))
	}
	require.Len(t, properties, found, "asyncapi.json describes fields of %s that are not there", where)
}

// requireType compares a field's type with its schema.
func (p *paper) requireType(t *testing.T, src *source, at string, of ast.Expr, schema map[string]any) {
	t.Helper()
	switch of := of.(type) {
	case *ast.StarExpr:
		p.requireType(t, src, at, of.X, schema)
	case *ast.ArrayType:
		require.Equal(t, "array", schema["type"], at)
		p.requireType(t, src, at, of.Elt, p.object(t, schema, "items"))
	case *ast.SelectorExpr: // uuid.UUID, time.Time, json.RawMessage
		if of.Sel.Name != "RawMessage" {
			require.Equal(t, "string", schema["type"], at)
		}
		if of.Sel.Name == "Time" {
			require.Equal(t, "date-time", schema["format"], at)
		}
	case *ast.Ident:
		if st, ok := src.types[of.Name].(*ast.StructType); ok {
			p.requireSame(t, src, at, st, schema)
			return
		}
		want := map[string]string{"string": "string", "bool": "boolean", "int": "integer", "int64": "integer"}[of.Name]
		if inner, ok := src.types[of.Name].(*ast.Ident); ok && want == "" {
			want = inner.Name // such as Kind, which is a string
		}
		require.Contains(t, typesOf(schema), want, at)
	default:
		require.Fail(t, "a type that nobody expected", "%s %T", at, of)
	}
}

// typesOf are the JSON types that a schema allows.
func typesOf(schema map[string]any) []string {
	switch v := schema["type"].(type) {
	case string:
		return []string{v}
	case []any:
		out := make([]string, len(v))
		for i := range v {
			out[i], _ = v[i].(string)
		}
		return out
	}
	switch schema["const"].(type) {
	case string:
		return []string{"string"}
	case bool:
		return []string{"boolean"}
	}
	return nil
}
