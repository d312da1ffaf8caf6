// Package pdf writes tagged PDF documents (ISO 32000-1) with text in all scripts for which there are fonts: shaped, in
// the right order, searchable, and with their structure for screen readers.
//
// Text is shaped by go-text/typesetting. The PDF itself is written here, because no well-kept library takes shaped
// glyphs and writes the structure of a document.
package pdf

import (
	"bytes"
	"fmt"
	"html"
	"maps"
	"slices"
	"strings"
	"time"
)

// Info describes a document.
type Info struct {
	Title    string // viewers show it
	Creator  string // the program
	Language string // of the document, as a tag (BCP 47)
	At       time.Time
}

// Document is a document that is being written. It is in memory, compressed, but for the page that is being filled. It
// is used by one goroutine at a time.
type Document struct {
	// Body is the root of its structure.
	Body *Element

	info          Info
	width, height float64
	objects       *objects
	set           *typesetter
	subsets       []*subset // by face
	pages         []*page
	tree          ref // the root of the structure
	list          ref // of pages
	resources     ref
	current       *page
}

// page is a page. Its content is in two parts: the late one is written when the number of pages is known.
type page struct {
	ref, content, late ref
	text               bytes.Buffer
	marks              []ref // elements by the numbers of their marked content
	open               bool  // marked content has begun
	marked             *Element
}

// New begins a document with pages of a size in points.
func New(f *Fonts, info Info, width, height float64) *Document {
	d := &Document{info: info, width: width, height: height, objects: newObjects(), set: newTypesetter(f)}
	d.tree, d.list, d.resources = d.objects.reserve(), d.objects.reserve(), d.objects.reserve()
	d.subsets = make([]*subset, len(d.set.faces))
	d.Body = &Element{d: d, kind: "Document", ref: d.objects.reserve()}
	return d
}

// Layout sets one paragraph in rows of at most width points. Line breaks in it count as spaces.
func (d *Document) Layout(text string, s Style, width float64) []Row {
	return d.set.rows(text, s, width)
}

// Missing returns the scripts of characters that were shown as code points, because no font has them.
func (d *Document) Missing() []string { return slices.Sorted(maps.Keys(d.set.missing)) }

// AddPage ends the current page and begins the next.
func (d *Document) AddPage() {
	d.endPage()
	o := d.objects
	d.current = &page{ref: o.reserve(), content: o.reserve(), late: o.reserve()}
	d.pages = append(d.pages, d.current)
}

func (d *Document) endPage() {
	if d.current == nil {
		return
	}
	d.unmark()
	d.objects.stream(d.current.content, "", d.current.text.Bytes())
	d.current.text = bytes.Buffer{}
}

// Finish ends the last page, adds to all pages what late draws, closes the document and returns it. Before that, all
// elements but Body must have been closed, except those to which late adds something and which it closes.
func (d *Document) Finish(late func(number, of int)) []byte {
	d.endPage()
	for i, p := range d.pages {
		d.current = p
		late(i+1, len(d.pages))
		d.unmark()
		d.objects.stream(p.late, "", p.text.Bytes())
		p.text = bytes.Buffer{}
	}
	d.Body.Close()
	d.writePages()
	d.writeTree()
	var fonts strings.Builder
	for i, s := range d.subsets {
		if s != nil {
			s.write(d.objects)
			fmt.Fprintf(&fonts, "/F%d %v", i, s.ref)
		}
	}
	d.objects.put(d.resources, "<</Font<<"+fonts.String()+">>>>")
	d.writeCatalog()
	return d.objects.out.Bytes()
}

func (d *Document) writePages() {
	var kids strings.Builder
	for i, p := range d.pages {
		fmt.Fprintf(&kids, "%v ", p.ref)
		d.objects.put(p.ref, fmt.Sprintf("<</Type/Page/Parent %v/Contents[%v %v]/StructParents %d/Tabs/S>>",
			d.list, p.content, p.late, i))
	}
	d.objects.put(d.list, fmt.Sprintf("<</Type/Pages/Count %d/MediaBox[0 0 %s %s]/Resources %v/Kids[%s]>>",
		len(d.pages), number(d.width), number(d.height), d.resources, kids.String()))
}

// writeTree writes the root of the structure, with the elements of each page.
func (d *Document) writeTree() {
	var nums strings.Builder
	for i, p := range d.pages {
		var marks strings.Builder
		for _, m := range p.marks {
			fmt.Fprintf(&marks, "%v ", m)
		}
		list := d.objects.reserve()
		d.objects.put(list, "["+marks.String()+"]")
		fmt.Fprintf(&nums, "%d %v ", i, list)
	}
	d.objects.put(d.tree, fmt.Sprintf("<</Type/StructTreeRoot/K[%v]/ParentTree<</Nums[%s]>>/ParentTreeNextKey %d>>",
		d.Body.ref, nums.String(), len(d.pages)))
}

func (d *Document) writeCatalog() {
	catalog, info, metadata := d.objects.reserve(), d.objects.reserve(), d.objects.reserve()
	d.objects.plain(metadata, "/Type/Metadata/Subtype/XML", []byte(d.xmp()))
	d.objects.put(info, fmt.Sprintf("<</Title%s/Creator%s/Producer%s/CreationDate%s/ModDate%s>>", inHex(d.info.Title),
		inHex(d.info.Creator), inHex(d.info.Creator), date(d.info.At), date(d.info.At)))
	d.objects.put(catalog, fmt.Sprintf("<</Type/Catalog/Pages %v/Lang(%s)/MarkInfo<</Marked true>>/StructTreeRoot %v"+
		"/ViewerPreferences<</DisplayDocTitle true>>/Metadata %v>>", d.list, d.info.Language, d.tree, metadata))
	d.objects.end(catalog, info)
}

// xmp repeats what Info says (ISO 16684-1).
func (d *Document) xmp() string {
	at := d.info.At.UTC().Format("2006-01-02T15:04:05Z")
	return `<?xpacket begin="` + "\ufeff" + `" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/">
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">` + html.EscapeString(d.info.Title) + `</rdf:li></rdf:Alt></dc:title>
<dc:language><rdf:Bag><rdf:li>` + html.EscapeString(d.info.Language) + `</rdf:li></rdf:Bag></dc:language>
<xmp:CreatorTool>` + html.EscapeString(d.info.Creator) + `</xmp:CreatorTool>
<xmp:CreateDate>` + at + `</xmp:CreateDate><xmp:ModifyDate>` + at + `</xmp:ModifyDate>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>`
}
