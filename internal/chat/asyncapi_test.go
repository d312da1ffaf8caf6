package chat

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"housecall/internal/conversation"

	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// paper is the decoded AsyncAPI document, and what its messages say about frames.
type paper struct {
	root           map[string]any
	compiler       *jsonschema.Compiler
	server, client map[string]*message // by their names in the document
}

// message is one documented frame.
type message struct {
	name, kind string // kind is the value of its field type
	payload    map[string]any
	schema     *jsonschema.Schema // unlike the document's, it allows no other fields
}

func readPaper(t testing.TB) *paper {
	t.Helper()
	document, err := describedAt("https://clinic.test")
	require.NoError(t, err)
	p := &paper{compiler: jsonschema.NewCompiler()}
	require.NoError(t, json.Unmarshal(document, &p.root))
	strict, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	require.NoError(t, err)
	forbidOthers(strict)
	p.compiler.DefaultDraft(jsonschema.Draft7)
	p.compiler.AssertFormat()
	require.NoError(t, p.compiler.AddResource("asyncapi.json", strict))
	p.server, p.client = p.messages(t, "send"), p.messages(t, "receive")
	return p
}

// forbidOthers makes undocumented fields an error wherever objects are described. Only frames are.
func forbidOthers(v any) {
	switch v := v.(type) {
	case map[string]any:
		if _, object := v["properties"].(map[string]any); object && v["type"] == "object" {
			v["additionalProperties"] = false
		}
		for _, inner := range v {
			forbidOthers(inner)
		}
	case []any:
		for _, inner := range v {
			forbidOthers(inner)
		}
	}
}

// at follows references, and then a path of keys.
func (p *paper) at(t testing.TB, v any, path ...string) any {
	t.Helper()
	for {
		if m, ok := v.(map[string]any); ok {
			if ref, ok := m["$ref"].(string); ok {
				v = p.at(t, p.root, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
				continue
			}
		}
		if len(path) == 0 {
			return v
		}
		m, ok := v.(map[string]any)
		require.True(t, ok && m[path[0]] != nil, "the document has no %s", strings.Join(path, "/"))
		v, path = m[path[0]], path[1:]
	}
}

func (p *paper) object(t testing.TB, v any, path ...string) map[string]any {
	t.Helper()
	m, ok := p.at(t, v, path...).(map[string]any)
	require.True(t, ok, "%v is no object", path)
	return m
}

// messages are those of the operations of an action.
func (p *paper) messages(t testing.TB, action string) map[string]*message {
	t.Helper()
	out := map[string]*message{}
	for name := range p.object(t, p.root, "operations") {
		operation := p.object(t, p.root, "operations", name)
		if operation["action"] != action {
			continue
		}
		for _, ref := range operation["messages"].([]any) {
			// An operation refers to a message of its channel, which refers to the component.
			inChannel := ref.(map[string]any)["$ref"].(string)
			entry := p.root
			for _, key := range strings.Split(strings.TrimPrefix(inChannel, "#/"), "/") {
				entry = entry[key].(map[string]any)
			}
			component := entry["$ref"].(string)
			m := &message{name: component[strings.LastIndexByte(component, '/')+1:], payload: p.object(t, entry, "payload")}
			m.kind, _ = p.at(t, m.payload, "properties", "type", "const").(string)
			schema, err := p.compiler.Compile("asyncapi.json" + component + "/payload")
			require.NoError(t, err)
			m.schema = schema
			out[m.name] = m
		}
	}
	return out
}

// TestAsyncAPI_IsOne validates the document against the AsyncAPI Initiative's own schema.
func TestAsyncAPI_IsOne(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/asyncapi/schema-3.0.0.json")
	require.NoError(t, err)
	official, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	require.NoError(t, c.AddResource("asyncapi.schema.json", official))
	schema, err := c.Compile("asyncapi.schema.json")
	require.NoError(t, err)
	for _, publicURL := range []string{"https://clinic.test", "http://localhost:6001/"} {
		document, err := describedAt(publicURL)
		require.NoError(t, err)
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
		require.NoError(t, err)
		require.NoError(t, schema.Validate(value))
	}
	p := readPaper(t)
	require.Equal(t, map[string]any{"host": "clinic.test", "protocol": "wss"},
		only(p.object(t, p.root, "servers", "clinic"), "host", "protocol"))
}

func only(m map[string]any, keys ...string) map[string]any {
	m = maps.Clone(m)
	maps.DeleteFunc(m, func(k string, _ any) bool { return !slices.Contains(keys, k) })
	return m
}

// TestAsyncAPI_NothingIsLeftOver: every component is used, and every channel's message belongs to an operation.
func TestAsyncAPI_NothingIsLeftOver(t *testing.T) {
	t.Parallel()
	p := readPaper(t)
	document, err := json.Marshal(p.root)
	require.NoError(t, err)
	for _, kind := range []string{"messages", "schemas", "securitySchemes"} {
		for name := range p.object(t, p.root, "components", kind) {
			require.Contains(t, string(document), `"#/components/`+kind+`/`+name+`"`)
		}
	}
	for channel := range p.object(t, p.root, "channels") {
		for name := range p.object(t, p.root, "channels", channel, "messages") {
			require.Contains(t, string(document), `"#/channels/`+channel+`/messages/`+name+`"`)
		}
	}
}

// TestAsyncAPI_ServerFrames compares each frame of the table, field by field, with the document.
func TestAsyncAPI_ServerFrames(t *testing.T) {
	t.Parallel()
	p := readPaper(t)
	undocumented := maps.Clone(p.server)
	for _, f := range serverFrames {
		m := p.server[f.name]
		require.NotNil(t, m, "asyncapi.json does not describe the frame %s", f.name)
		delete(undocumented, f.name)
		require.Equal(t, f.kind, m.kind, f.name)
		payload := maps.Clone(m.payload)
		properties := maps.Clone(p.object(t, payload, "properties"))
		delete(properties, "type") // which encode adds
		payload["properties"] = properties
		p.requireSame(t, f.name, reflect.TypeOf(f.shape), payload)
	}
	require.Empty(t, undocumented, "asyncapi.json describes frames that are not there")
}

// jsonField is a field of a struct as encoding/json writes it.
type jsonField struct {
	name     string
	optional bool // omitempty
	of       reflect.Type
}

// fieldsOf are those with a name in JSON; embedded structs' are among them.
func fieldsOf(shape reflect.Type) (out []jsonField) {
	for i := range shape.NumField() {
		f := shape.Field(i)
		if f.Anonymous {
			out = append(out, fieldsOf(f.Type)...)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		out = append(out, jsonField{name: name, optional: options == "omitempty", of: f.Type})
	}
	return out
}

// requireSame compares a struct with a documented object: both must have the same fields, required fields and types.
func (p *paper) requireSame(t *testing.T, where string, shape reflect.Type, object map[string]any) {
	t.Helper()
	properties := p.object(t, object, "properties")
	required, _ := object["required"].([]any)
	fields := fieldsOf(shape)
	for _, f := range fields {
		at := where + "." + f.name
		require.Contains(t, properties, f.name, "asyncapi.json does not describe %s", at)
		require.Equal(t, !f.optional, slices.Contains(required, any(f.name)), "%s is required", at)
		p.requireType(t, at, f.of, p.object(t, properties[f.name]))
	}
	require.Len(t, properties, len(fields), "asyncapi.json describes fields of %s that are not there", where)
}

// requireType compares a field's type with its schema.
func (p *paper) requireType(t *testing.T, at string, of reflect.Type, schema map[string]any) {
	t.Helper()
	switch of {
	case reflect.TypeFor[json.RawMessage](): // anything
		return
	case reflect.TypeFor[uuid.UUID]():
		require.Equal(t, "string", schema["type"], at)
		return
	case reflect.TypeFor[time.Time]():
		require.Equal(t, []any{"string", "date-time"}, []any{schema["type"], schema["format"]}, at)
		return
	}
	switch of.Kind() {
	case reflect.Pointer:
		p.requireType(t, at, of.Elem(), schema)
	case reflect.Slice:
		require.Equal(t, "array", schema["type"], at)
		p.requireType(t, at, of.Elem(), p.object(t, schema, "items"))
	case reflect.Struct:
		p.requireSame(t, at, of, schema)
	default:
		want := map[reflect.Kind]string{
			reflect.String: "string", reflect.Bool: "boolean", reflect.Int: "integer", reflect.Int64: "integer",
		}[of.Kind()]
		require.NotEmpty(t, want, "%s has a type that nobody expected: %s", at, of)
		require.Contains(t, typesOf(schema), want, at)
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

// TestServerFrames_Complete: each shape is in the table once; otherwise encode would not know its type.
func TestServerFrames_Complete(t *testing.T) {
	t.Parallel()
	require.Len(t, kindOf, len(serverFrames))
	require.Panics(t, func() { encode(struct{}{}) })
}

// TestAsyncAPI_Golden validates every golden frame against the document with an independent validator.
func TestAsyncAPI_Golden(t *testing.T) {
	t.Parallel()
	p := readPaper(t)
	paths, err := filepath.Glob("testdata/[cs]*_*.json")
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		documented := p.server
		if strings.HasPrefix(filepath.Base(path), "client_") {
			documented = p.client
		}
		for _, m := range p.requireDocumented(t, documented, raw) {
			seen[m.name] = true
		}
	}
	for name := range p.server {
		require.True(t, seen[name], "there is no golden frame of %s", name)
	}
	for name := range p.client {
		require.True(t, seen[name], "there is no golden frame of %s", name)
	}
}

// requireDocumented returns the documented messages, at least one, that a frame matches.
func (p *paper) requireDocumented(t require.TestingT, documented map[string]*message, frame []byte) (as []*message) {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(frame))
	require.NoError(t, err)
	kind := value.(map[string]any)["type"]
	var why []error
	for _, m := range documented {
		if m.kind != kind {
			continue
		}
		if err := m.schema.Validate(value); err != nil {
			why = append(why, err)
			continue
		}
		as = append(as, m)
	}
	require.NotEmpty(t, as, "a frame of type %v is not as documented: %v\n%s", kind, why, frame)
	return as
}

// TestAsyncAPI_WrittenByHand: events and acks, which are encoded by hand, are as documented, whatever they contain.
func TestAsyncAPI_WrittenByHand(t *testing.T) {
	t.Parallel()
	p := readPaper(t)
	rapid.Check(t, func(t *rapid.T) {
		e := conversation.Event{
			Seq: rapid.Int64Min(1).
				Draw(t, "seq"),
			Kind: rapid.SampledFrom(kinds).Draw(t, "kind"), Text: nastyText().Draw(t, "text"),
			At:       time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(t, "at")),
			ClientID: uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")),
			Sender:   rapid.SampledFrom([]string{"", "PAT0000000001"}).Draw(t, "sender"),
		}
		switch e.Kind {
		case conversation.KindAttachment:
			e.Attachment = &conversation.Attachment{
				ID: e.ClientID, Name: "x.png", MediaType: "image/png", Size: 7, Width: 1, Height: 1, Thumbnail: true,
			}
		case conversation.KindRetraction, conversation.KindCorrection:
			e.Target = rapid.Int64Min(1).Draw(t, "target")
		case conversation.KindText, conversation.KindSystem:
		}
		if e.Retracted = rapid.Bool().Draw(t, "retracted"); e.Retracted {
			e.Attachment = nil
		} else {
			e.CorrectedBy = rapid.Int64Range(0, 9).Draw(t, "correctedBy")
		}
		p.requireDocumented(t, p.server, []byte(bodyOfWire(encodeEvent(e))))
		p.requireDocumented(t, p.server,
			[]byte(bodyOfWire(encodeAck(e.ClientID.String(), conversation.Ack{Seq: e.Seq, At: e.At, Duplicate: e.Retracted}))))
	})
}

var kinds = []conversation.Kind{
	conversation.KindText, conversation.KindAttachment, conversation.KindSystem, conversation.KindRetraction,
	conversation.KindCorrection,
}

// TestAsyncAPI_ClientFrames: Decode accepts exactly the documented fields.
func TestAsyncAPI_ClientFrames(t *testing.T) {
	t.Parallel()
	p := readPaper(t)
	fields, kinds := map[string]bool{}, map[string]bool{}
	for _, m := range p.client {
		kinds[m.kind] = true
		for name := range p.object(t, m.payload, "properties") {
			fields[name] = true
		}
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			requireDecodes(t, p, m)
		})
	}
	known := map[string]bool{}
	for _, f := range fieldsOf(reflect.TypeFor[clientFields]()) {
		known[f.name] = true
	}
	require.Equal(t, known, fields, "the fields that Decode looks at")
	known = map[string]bool{}
	for _, f := range clientFrames {
		known[f.kind] = true
	}
	require.Equal(t, known, kinds, "the types that Decode knows")
}

// requireDecodes removes fields, one at a time: Decode must refuse only frames without a field that is documented as
// required.
func requireDecodes(t *testing.T, p *paper, m *message) {
	frame := map[string]any{}
	for name := range p.object(t, m.payload, "properties") {
		frame[name] = exampleOf(name)
	}
	frame["type"] = m.kind
	decode := func(frame map[string]any) error {
		raw, err := json.Marshal(frame)
		require.NoError(t, err)
		_, err = Decode(raw)
		return err
	}
	require.NoError(t, decode(frame))
	for name := range frame {
		if name == "type" {
			continue
		}
		less, required := maps.Clone(frame), slices.Contains(m.payload["required"].([]any), any(name))
		delete(less, name)
		require.Equal(t, required, decode(less) != nil, "without %s", name)
		less[name] = []any{"of no use"}
		if name != "id" { // which may be anything
			require.Error(t, decode(less), "with a bad %s", name)
		}
	}
}

func exampleOf(field string) any {
	switch field {
	case "clientId", "attachmentId":
		return goldenID.String()
	case "upTo", "target":
		return 7
	case "active":
		return true
	default:
		return "something"
	}
}

// TestAsyncAPI_Codes: every code with which a connection is closed, refused or answered is documented.
func TestAsyncAPI_Codes(t *testing.T) {
	t.Parallel()
	p := readPaper(t)
	var want []string
	for _, code := range closeCodes {
		want = append(want, strconv.Itoa(int(code)))
	}
	slices.Sort(want)
	require.Equal(t, want, slices.Sorted(maps.Keys(p.object(t, p.root, "x-closeCodes"))))
	require.Equal(t, subprotocol, p.root["x-subprotocol"])
	for channel := range p.object(t, p.root, "channels") {
		offered := p.at(t, p.root, "channels", channel, "bindings", "ws", "headers", "properties", "Sec-WebSocket-Protocol",
			"description")
		require.Contains(t, offered, "`"+subprotocol+"`")
		require.Contains(t, offered, "`"+bearerSubprotocol+"<")
	}
	require.EqualValues(t, conversation.MaxChars, p.at(t, p.root, "components", "schemas", "text", "maxLength"))
}
