package attachment

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/gif" // one of the formats that are taken
	imagejpeg "image/jpeg"
	_ "image/png" // another
	"io"

	"golang.org/x/image/draw"
	_ "golang.org/x/image/webp" // and another
	"golang.org/x/sync/semaphore"
)

const (
	// decodingBytes is how much memory all pictures that are being decoded take at once. One that would take more gets no
	// thumbnail.
	decodingBytes = 128 << 20
	// roughEdge is up to where a picture is first scaled down roughly, as doing it well takes memory for its height.
	roughEdge = 4 * ThumbnailEdge
	// jpegQuality of thumbnails.
	jpegQuality = 80
	// headBytes is how much of a picture is looked through for its orientation and its way of coding.
	headBytes = 256 << 10
)

// picture is what the beginning of a picture says.
type picture struct {
	width, height int // as stored
	orientation   int // 1 to 8, as EXIF counts
	cost          int64
}

// shown gives the edges as they are to be shown.
func (p picture) shown() (width, height int) {
	if p.orientation >= 5 {
		return p.height, p.width
	}
	return p.width, p.height
}

// decoder makes thumbnails, not more at once than there is memory for.
type decoder struct{ memory *semaphore.Weighted }

func newDecoder() *decoder { return &decoder{memory: semaphore.NewWeighted(decodingBytes)} }

// lookAt reads the beginning of a picture, without decoding it: its size, which may be a lie that costs nothing, and what
// decoding it would cost.
func lookAt(r io.Reader) (picture, error) {
	head := bufio.NewReaderSize(r, headBytes)
	begin, err := head.Peek(headBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return picture{}, err
	}
	scan := scanJPEG(begin)
	config, _, err := image.DecodeConfig(head)
	if err != nil {
		return picture{}, ErrDamaged
	}
	if config.Width <= 0 || config.Height <= 0 {
		return picture{}, ErrDamaged
	}
	pixels := int64(config.Width) * int64(config.Height)
	if pixels > MaxPixels {
		return picture{}, ErrPixels
	}
	return picture{
		width: config.Width, height: config.Height, orientation: scan.orientation,
		cost: pixels * perPixel(config.ColorModel, scan.progressive),
	}, nil
}

// perPixel is how many bytes of memory Go's decoders take for a pixel.
func perPixel(m color.Model, progressive bool) int64 {
	if progressive {
		return 15 // all coefficients, four bytes each, and the picture
	}
	if _, ok := m.(color.Palette); ok {
		return 1
	}
	switch m {
	case color.GrayModel:
		return 1
	case color.Gray16Model:
		return 2
	case color.YCbCrModel:
		return 3
	case color.RGBA64Model, color.NRGBA64Model:
		return 8
	}
	return 5
}

// thumbnail decodes a picture and gives a small JPEG of it, upright, on white. nil where there can be none: it takes too
// much memory, or is damaged further on.
func (d *decoder) thumbnail(ctx context.Context, r io.Reader, p picture) ([]byte, error) {
	if p.cost > decodingBytes {
		return nil, nil
	}
	if err := d.memory.Acquire(ctx, p.cost); err != nil {
		return nil, fmt.Errorf("wait for memory: %w", err)
	}
	defer d.memory.Release(p.cost)
	source, _, err := image.Decode(bufio.NewReader(r))
	if err != nil || source.Bounds().Empty() || int64(source.Bounds().Dx())*int64(source.Bounds().Dy()) > MaxPixels {
		return nil, nil
	}
	small := upright(shrink(source), p.orientation)
	var out bytes.Buffer
	if err := imagejpeg.Encode(&out, small, &imagejpeg.Options{Quality: jpegQuality}); err != nil {
		return nil, fmt.Errorf("encode a thumbnail: %w", err)
	}
	return out.Bytes(), nil
}

// shrink scales a picture such that its longer edge is ThumbnailEdge, if it is longer.
func shrink(source image.Image) *image.RGBA {
	if b := source.Bounds(); max(b.Dx(), b.Dy()) > roughEdge {
		rough := canvas(b, roughEdge)
		draw.ApproxBiLinear.Scale(rough, rough.Bounds(), source, b, draw.Over, nil)
		source = rough
	}
	small := canvas(source.Bounds(), ThumbnailEdge)
	draw.CatmullRom.Scale(small, small.Bounds(), source, source.Bounds(), draw.Over, nil)
	return small
}

// canvas is a white picture of the form of b.
func canvas(b image.Rectangle, edge int) *image.RGBA {
	width, height := b.Dx(), b.Dy()
	if longer := max(width, height); longer > edge {
		width, height = max(1, width*edge/longer), max(1, height*edge/longer)
	}
	out := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.Draw(out, out.Bounds(), image.White, image.Point{}, draw.Src)
	return out
}

// upright turns and mirrors a picture as its EXIF orientation says (CIPA DC-008, 4.6.5, tag 0x0112).
func upright(source *image.RGBA, orientation int) *image.RGBA {
	if orientation <= 1 || orientation > 8 {
		return source
	}
	w, h := source.Bounds().Dx(), source.Bounds().Dy()
	size := image.Rect(0, 0, w, h)
	if orientation >= 5 {
		size = image.Rect(0, 0, h, w)
	}
	out := image.NewRGBA(size)
	for y := range h {
		for x := range w {
			toX, toY := x, y
			switch orientation {
			case 2:
				toX = w - 1 - x
			case 3:
				toX, toY = w-1-x, h-1-y
			case 4:
				toY = h - 1 - y
			case 5:
				toX, toY = y, x
			case 6:
				toX, toY = h-1-y, x
			case 7:
				toX, toY = h-1-y, w-1-x
			case 8:
				toX, toY = y, w-1-x
			}
			out.SetRGBA(toX, toY, source.RGBAAt(x, y))
		}
	}
	return out
}

// jpegScan is what the segments before the pixels of a JPEG say (ITU T.81, B).
type jpegScan struct {
	orientation int // 1 where none is told
	progressive bool
}

// scanJPEG walks the segments of what may be the beginning of a JPEG.
func scanJPEG(b []byte) jpegScan {
	s := jpegScan{orientation: 1}
	if len(b) < 4 || b[0] != 0xff || b[1] != 0xd8 {
		return s
	}
	for b = b[2:]; len(b) >= 4 && b[0] == 0xff; {
		marker, length := b[1], int(binary.BigEndian.Uint16(b[2:]))
		switch {
		case marker == 0xff: // fill
			b = b[1:]
			continue
		case marker == 0xc2:
			s.progressive = true
			return s
		case marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc, marker == 0xda, length < 2, length+2 > len(b):
			return s
		case marker == 0xe1:
			if o := exifOrientation(b[4 : 2+length]); o != 0 {
				s.orientation = o
			}
		}
		b = b[2+length:]
	}
	return s
}

// exifOrientation finds the orientation in the payload of an APP1 segment: the first directory of a TIFF. 0 if none is told.
func exifOrientation(b []byte) int {
	t, ok := bytes.CutPrefix(b, []byte("Exif\x00\x00"))
	if !ok || len(t) < 8 {
		return 0
	}
	var order binary.ByteOrder
	switch string(t[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return 0
	}
	at := int64(order.Uint32(t[4:]))
	if at+2 > int64(len(t)) {
		return 0
	}
	entries := t[at+2:]
	for n := int(order.Uint16(t[at:])); n > 0 && len(entries) >= 12; n-- {
		if order.Uint16(entries) == 0x0112 && order.Uint16(entries[2:]) == 3 {
			if o := int(order.Uint16(entries[8:])); o >= 1 && o <= 8 {
				return o
			}
			return 0
		}
		entries = entries[12:]
	}
	return 0
}
