package pdf

import (
	"fmt"
	"strings"
)

// Kind is the role of a part of a document (ISO 32000-1, 14.8.4).
type Kind string

// The kinds.
const (
	Part      Kind = "Sect"
	Heading1  Kind = "H1"
	Heading2  Kind = "H2"
	Heading3  Kind = "H3"
	Paragraph Kind = "P"
)

// Element is a part of the structure of a document, which says in which order it is read, and what is a heading. It is
// written when it is closed.
type Element struct {
	d        *Document
	kind     Kind
	parent   *Element
	ref      ref
	kids     []kid
	language string
	actual   string
	closed   bool
}

// kid is an element, or marked content on a page.
type kid struct {
	element ref
	page    ref
	mark    int32
}

// Add begins a part of an element.
func (e *Element) Add(k Kind) *Element {
	part := &Element{d: e.d, kind: k, parent: e, ref: e.d.objects.reserve()}
	e.kids = append(e.kids, kid{element: part.ref})
	return part
}

// Close writes an element, to which nothing can be added any more.
func (e *Element) Close() {
	if e.closed {
		return
	}
	e.closed = true
	parent := e.d.tree
	if e.parent != nil {
		parent = e.parent.ref
	}
	var b strings.Builder
	fmt.Fprintf(&b, "<</Type/StructElem/S/%s/P %v", e.kind, parent)
	var page ref
	for _, k := range e.kids {
		if k.page != 0 {
			page = k.page
			fmt.Fprintf(&b, "/Pg %v", page)
			break
		}
	}
	b.WriteString("/K[")
	for _, k := range e.kids {
		switch {
		case k.element != 0:
			fmt.Fprintf(&b, "%v ", k.element)
		case k.page == page:
			fmt.Fprintf(&b, "%d ", k.mark)
		default:
			fmt.Fprintf(&b, "<</Type/MCR/Pg %v/MCID %d>>", k.page, k.mark)
		}
	}
	b.WriteString("]")
	if e.language != "" {
		fmt.Fprintf(&b, "/Lang(%s)", e.language)
	}
	if e.actual != "" {
		b.WriteString("/ActualText" + inHex(e.actual))
	}
	b.WriteString(">>")
	e.kids = nil
	e.d.objects.put(e.ref, b.String())
}

// Says tells readers what an element says, in the order of reading, where the order or the shapes on the page may not:
// in scripts other than Latin, Greek and Cyrillic. It also tells the language, if the script does.
func (e *Element) Says(text string) {
	if language, plain := languageOf(text); !plain {
		e.actual, e.language = string(withoutControls([]rune(text))), language
	}
}
