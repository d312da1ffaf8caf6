package attachment

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	_ "image/gif" // one of the formats that are taken
	imagejpeg "image/jpeg"
	_ "image/png" // another
	"io"
	"time"

	"golang.org/x/image/draw"
	_ "golang.org/x/image/webp" // and another
	"golang.org/x/sync/semaphore"
)

const (
	// decodingBytes is how much memory all pictures that are being decoded may take together. A picture that alone
	// would take more gets no thumbnail.
	decodingBytes = 160 << 20
	// decodingTime is how long a picture may take, and how long one waits for memory. A picture that takes longer gets
	// no thumbnail: a progressive JPEG of a few KB can ask for a huge number of passes over all its pixels.
	decodingTime = 10 * time.Second
	// decodingPart is how many bytes are decoded between two looks at the clock: some tens of passes.
	decodingPart = 512
	// roughEdge is the edge to which a picture is first scaled down roughly: good scaling takes memory for its height.
	roughEdge = 4 * ThumbnailEdge
	// jpegQuality of thumbnails.
	jpegQuality = 80
	// headBytes is how much of a picture is searched for its orientation and its coding.
	headBytes = 256 << 10
)

// picture is what the beginning of a picture tells about it.
type picture struct {
	width, height int // as stored
	orientation   int // 1 to 8, as EXIF counts
	cost          int64
}

// shown returns the dimensions as displayed.
func (p picture) shown() (width, height int) {
	if p.orientation >= 5 {
		return p.height, p.width
	}
	return p.width, p.height
}

// decoder makes thumbnails, and no more at once than there is memory for.
type decoder struct {
	memory *semaphore.Weighted
	time   time.Duration // decodingTime, except in tests
}

func newDecoder() *decoder {
	return &decoder{memory: semaphore.NewWeighted(decodingBytes), time: decodingTime}
}

// lookAt reads the beginning of a picture of size bytes, without decoding it: its claimed dimensions, and what
// decoding it would cost.
func lookAt(r io.Reader, size int64) (picture, error) {
	head := bufio.NewReaderSize(r, headBytes)
	peeked, err := head.Peek(headBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return picture{}, err
	}
	begin := bytes.Clone(peeked) // the buffer is reused after the next read
	config, format, err := image.DecodeConfig(head)
	if err != nil {
		return picture{}, ErrDamaged
	}
	if config.Width <= 0 || config.Height <= 0 {
		return picture{}, ErrDamaged
	}
	if int64(config.Width)*int64(config.Height) > MaxPixels {
		return picture{}, ErrPixels
	}
	p := picture{width: config.Width, height: config.Height, orientation: 1}
	if format == "jpeg" {
		p.orientation = scanJPEG(begin).orientation
	}
	p.cost = costOf(begin, format, config, size)
	return p, nil
}

// preview decodes a picture and returns a small JPEG of it, upright, on white; nil if the picture takes too much
// memory or time, or is damaged.
func (d *decoder) preview(ctx context.Context, r io.Reader, p picture) ([]byte, error) {
	if p.cost > decodingBytes {
		return nil, nil
	}
	waiting, cancel := context.WithTimeout(ctx, d.time)
	defer cancel()
	if err := d.memory.Acquire(waiting, p.cost); err != nil {
		return nil, ctx.Err() //nolint:wrapcheck // the caller's own, or none
	}
	defer d.memory.Release(p.cost)
	working, cancel := context.WithTimeout(ctx, d.time)
	defer cancel()
	source, _, err := image.Decode(bufio.NewReader(inTime{working, bufio.NewReader(r)}))
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err() //nolint:wrapcheck // the caller's own
	case err != nil || source.Bounds().Empty() || int64(source.Bounds().Dx())*int64(source.Bounds().Dy()) > MaxPixels:
		return nil, nil
	}
	small := upright(shrink(source), p.orientation)
	var out bytes.Buffer
	if err := imagejpeg.Encode(&out, small, &imagejpeg.Options{Quality: jpegQuality}); err != nil {
		return nil, fmt.Errorf("encode a thumbnail: %w", err)
	}
	return out.Bytes(), nil
}

// inTime reads small parts until ctx ends: decoders do not know contexts, but they all ask for the next part at some
// point.
type inTime struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (t inTime) Read(p []byte) (int, error) {
	if err := t.ctx.Err(); err != nil {
		return 0, fmt.Errorf("decode a picture: %w", err)
	}
	return t.r.Read(p[:min(len(p), decodingPart)]) //nolint:wrapcheck // a reader's errors are its own
}

// shrink scales a picture down so that its longer edge is at most ThumbnailEdge.
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

// canvas makes a white picture with the proportions of b.
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
