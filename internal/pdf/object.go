package pdf

import (
	"bytes"
	"compress/zlib"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"time"
	"unicode/utf16"
)

// packSize is at how many bytes a stream of objects is written.
const packSize = 64 << 10

// ref is the number of an object.
type ref int32

// String returns a reference as it is written.
func (r ref) String() string { return fmt.Sprintf("%d 0 R", int32(r)) }

// place is where an object is: at an offset of the file, or the nth of a stream of objects.
type place struct {
	stream ref
	at     uint32
}

// objects writes the objects of a file (ISO 32000-1, 7.5).
type objects struct {
	out    bytes.Buffer
	places []place // by number
	packed []ref   // those of the stream of objects that is being filled
	starts []int
	pack   bytes.Buffer
	zip    *zlib.Writer
}

func newObjects() *objects {
	o := &objects{places: make([]place, 1), zip: zlib.NewWriter(nil)}
	o.out.WriteString("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
	return o
}

// reserve returns the number of an object that will be written later.
func (o *objects) reserve() ref {
	o.places = append(o.places, place{})
	return ref(len(o.places) - 1)
}

// put writes an object among others, which are compressed together.
func (o *objects) put(r ref, body string) {
	o.packed, o.starts = append(o.packed, r), append(o.starts, o.pack.Len())
	o.pack.WriteString(body)
	o.pack.WriteByte('\n')
	if o.pack.Len() >= packSize {
		o.flush()
	}
}

func (o *objects) flush() {
	if len(o.packed) == 0 {
		return
	}
	stream := o.reserve()
	var head bytes.Buffer
	for i, r := range o.packed {
		fmt.Fprintf(&head, "%d %d ", r, o.starts[i])
		o.places[r] = place{stream, uint32(i)}
	}
	first, n := head.Len(), len(o.packed)
	head.Write(o.pack.Bytes())
	o.stream(stream, fmt.Sprintf("/Type/ObjStm/N %d/First %d", n, first), head.Bytes())
	o.packed, o.starts = o.packed[:0], o.starts[:0]
	o.pack.Reset()
}

// stream writes a compressed stream.
func (o *objects) stream(r ref, entries string, data []byte) {
	var small bytes.Buffer
	o.zip.Reset(&small)
	_, _ = o.zip.Write(data) // into memory
	_ = o.zip.Close()
	o.plain(r, entries+"/Filter/FlateDecode", small.Bytes())
}

// plain writes a stream as it is.
func (o *objects) plain(r ref, entries string, data []byte) {
	o.places[r] = place{at: uint32(o.out.Len())}
	fmt.Fprintf(&o.out, "%d 0 obj\n<<%s/Length %d>>stream\n", r, entries, len(data))
	o.out.Write(data)
	o.out.WriteString("\nendstream\nendobj\n")
}

// end writes the table of all objects.
func (o *objects) end(root, info ref) {
	o.flush()
	table := o.reserve()
	start := o.out.Len()
	o.places[table] = place{at: uint32(start)}
	rows := []byte{0, 0, 0, 0, 0, 0, 0}
	for _, p := range o.places[1:] {
		if p.stream != 0 {
			rows = binary.BigEndian.AppendUint32(append(rows, 2), uint32(p.stream))
			rows = binary.BigEndian.AppendUint16(rows, uint16(p.at))
			continue
		}
		rows = append(binary.BigEndian.AppendUint32(append(rows, 1), p.at), 0, 0)
	}
	sum := sha256.Sum256(o.out.Bytes())
	o.stream(table, fmt.Sprintf("/Type/XRef/Size %d/W[1 4 2]/Root %v/Info %v/ID[<%x><%x>]",
		len(o.places), root, info, sum[:16], sum[:16]), rows)
	fmt.Fprintf(&o.out, "startxref\n%d\n%%%%EOF\n", start)
}

// inHex writes a text as a string in UTF-16 (7.9.2.2).
func inHex(s string) string {
	var b strings.Builder
	b.WriteString("<FEFF")
	for _, unit := range utf16.Encode([]rune(s)) {
		fmt.Fprintf(&b, "%04X", unit)
	}
	b.WriteByte('>')
	return b.String()
}

// date writes a time (7.9.4).
func date(t time.Time) string { return t.UTC().Format("(D:20060102150405Z)") }
