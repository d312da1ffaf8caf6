package attachment

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	imagegif "image/gif"
	imagejpeg "image/jpeg"
	imagepng "image/png"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// segment writes a segment of a JPEG.
func segment(marker byte, payload string) string {
	length := binary.BigEndian.AppendUint16(nil, uint16(len(payload)+2))
	return "\xff" + string(append([]byte{marker}, length...)) + payload
}

// jpegHead returns a JPEG up to its first pixels, with all components in full resolution, and tables with one code
// each. before comes after the SOI.
func jpegHead(before string, sof byte, width, height, components int) string {
	frame := []byte{8}
	frame = binary.BigEndian.AppendUint16(frame, uint16(height))
	frame = binary.BigEndian.AppendUint16(frame, uint16(width))
	frame = append(frame, byte(components))
	for i := range components {
		frame = append(frame, byte(i+1), 0x11, 0)
	}
	quantization := segment(0xdb, "\x00"+strings.Repeat("\x01", 64))
	dc := segment(0xc4, "\x00\x01"+strings.Repeat("\x00", 15)+"\x00") // no difference
	ac := segment(0xc4, "\x10\x01"+strings.Repeat("\x00", 15)+"\xe0") // 16384 blocks and more without coefficients
	return "\xff\xd8" + before + quantization + segment(sof, string(frame)) + dc + ac
}

// jpegPass returns a scan of one component that leaves its coefficients unchanged.
func jpegPass(blocks int) string {
	return segment(0xda, "\x01\x01\x00\x01\x01\x00") + strings.Repeat("\x00", blocks/4096+2)
}

// forever reads a part again and again.
type forever struct {
	part string
	at   int
}

func (f *forever) Read(p []byte) (int, error) {
	n := copy(p, f.part[f.at:])
	f.at = (f.at + n) % len(f.part)
	return n, nil
}

// A picture with endless passes ends at the time limit, and gets no thumbnail.
func TestDecoder_thumbnail_endless(t *testing.T) {
	t.Parallel()
	head := jpegHead("", 0xc2, 1000, 1000, 1)
	p, err := lookAt(strings.NewReader(head+jpegPass(125*125)), 1000)
	require.NoError(t, err)
	d := newDecoder()
	d.time = 50 * time.Millisecond
	small, err := d.preview(t.Context(), io.MultiReader(strings.NewReader(head), &forever{part: jpegPass(125 * 125)}),
		p)
	require.NoError(t, err)
	require.Nil(t, small)
	require.True(t, d.memory.TryAcquire(decodingBytes), "it released all memory")
}

// It does not wait for memory longer than that, or after its caller has gone.
func TestDecoder_thumbnail_waits(t *testing.T) {
	t.Parallel()
	file := written(imagepng.Encode, image.NewNRGBA(image.Rect(0, 0, 10, 10)))
	p, err := lookAt(strings.NewReader(file), int64(len(file)))
	require.NoError(t, err)
	d := newDecoder()
	require.True(t, d.memory.TryAcquire(decodingBytes))
	d.time = time.Millisecond
	small, err := d.preview(t.Context(), strings.NewReader(file), p)
	require.NoError(t, err)
	require.Nil(t, small)
	d.time = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = d.preview(ctx, strings.NewReader(file), p)
	require.ErrorIs(t, err, context.Canceled)
	d.memory.Release(decodingBytes)
	_, err = d.preview(ctx, strings.NewReader(file), p)
	require.ErrorIs(t, err, context.Canceled)
	small, err = d.preview(t.Context(), strings.NewReader(file), p)
	require.NoError(t, err)
	require.NotEmpty(t, small)
}

// No picture takes more memory than its cost, whatever it claims. Not parallel, because it counts all memory.
func TestPicture_cost(t *testing.T) {
	const edge = 1000
	gray := image.NewGray(image.Rect(0, 0, edge, edge))
	two := image.NewPaletted(gray.Rect, color.Palette{color.Black, color.White})
	adobe := segment(0xee, "Adobe\x00\x64\x00\x00\x00\x00\x00")
	padding := strings.Repeat(segment(0xe5, strings.Repeat("x", 65_000)), 5)
	for name, file := range map[string]string{
		"JPEG":              written(encodeJPEG, image.NewNRGBA(gray.Rect)),
		"JPEG, gray":        written(encodeJPEG, gray),
		"JPEG, narrow":      jpegOf("", 0xc0, 1, 20*edge, 3),
		"JPEG, CMYK":        jpegOf(adobe, 0xc0, edge, edge, 4),
		"JPEG, RGB":         jpegOf(adobe, 0xc0, edge, edge, 3),
		"progressive":       jpegOf("", 0xc2, edge, edge, 3),
		"progressive, gray": jpegOf("", 0xc2, edge, edge, 1),
		"progressive, CMYK": jpegOf(adobe, 0xc2, edge, edge, 4),
		"progressive, RGB":  jpegOf(adobe, 0xc2, edge, edge, 3),
		"behind garbage":    jpegOf("x", 0xc2, edge, edge, 3),
		"behind padding":    jpegOf(padding, 0xc2, edge, edge, 3),
		"behind a restart":  jpegOf("\xff\xd0", 0xc2, edge, edge, 3),
		"PNG":               written(imagepng.Encode, image.NewNRGBA(gray.Rect)),
		"PNG, gray":         written(imagepng.Encode, gray),
		"PNG, palette":      written(imagepng.Encode, two),
		"PNG, 16 bits":      written(imagepng.Encode, image.NewNRGBA64(gray.Rect)),
		"PNG, transparent":  pngOf(edge, 8, 0, 0),
		"PNG, interlaced":   pngOf(edge, 8, 2, 1),
		"PNG, all of it":    pngOf(edge, 16, 0, 1),
		"GIF":               written(encodeGIF, two),
		"GIF, interlaced":   interlaced(written(encodeGIF, two)),
	} {
		p, err := lookAt(strings.NewReader(file), int64(len(file)))
		require.NoError(t, err, name)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, err = image.Decode(strings.NewReader(file))
		runtime.ReadMemStats(&after)
		require.NoError(t, err, name)
		took, charged := int64(after.TotalAlloc-before.TotalAlloc), p.cost-scalingBytes
		require.LessOrEqual(t, took, charged+charged/50+128<<10, "%s: everything but the pixels takes little", name)
	}
}

// The cost of a WebP is that of the worst it may turn out to be. (Its memory is not measured, since nothing here can
// write one.)
func TestPicture_costWebP(t *testing.T) {
	t.Parallel()
	const edge = 1024
	lossy := riffChunk("VP8 ", "\x10\x00\x00\x9d\x01\x2a\x00\x04\x00\x04"+strings.Repeat("\x00", 100))
	lossless := riffChunk("VP8L", "\x2f\xff\xc3\xff\x00"+strings.Repeat("\x00", 100))
	extended := func(flags string) string { return riffChunk("VP8X", flags+"\x00\x00\x00\xff\x03\x00\xff\x03\x00") }
	for name, c := range map[string]struct {
		file     string
		longer   uint32 // by how much the file exaggerates its length
		pixel    int64  // the least bytes per pixel
		at, most int64  // the limits of the whole cost
	}{
		"lossy":             {file: lossy, pixel: 2, most: decodingBytes / 4},
		"lossless":          {file: lossless, pixel: 9},
		"lossless, wrapped": {file: extended("\x00") + lossless, pixel: 9},
		"with alpha":        {file: extended("\x10") + riffChunk("ALPH", "\x01") + lossy, pixel: 11},
		"a liar":            {file: lossy, longer: 100 << 20, pixel: 1, at: decodingBytes + 1},
	} {
		file := "RIFF" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(c.file)+4)+c.longer)) + "WEBP" + c.file
		p, err := lookAt(strings.NewReader(file), int64(len(file)))
		require.NoError(t, err, name)
		require.Equal(t, []int{edge, edge}, []int{p.width, p.height}, name)
		require.GreaterOrEqual(t, p.cost, max(c.at, scalingBytes+c.pixel*edge*edge), name)
		if c.most > 0 {
			require.LessOrEqual(t, p.cost, c.most, name)
		}
	}
}

func riffChunk(kind, data string) string {
	return kind + string(
		binary.LittleEndian.AppendUint32(nil, uint32(len(data))),
	) + data + strings.Repeat("\x00", len(data)%2)
}

// Scaling a picture down takes no more memory than its share of the cost.
func TestPicture_scaling(t *testing.T) {
	source := image.NewGray(image.Rect(0, 0, 3*roughEdge, 3*roughEdge))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	shrink(source)
	runtime.ReadMemStats(&after)
	require.LessOrEqual(t, int64(after.TotalAlloc-before.TotalAlloc), int64(scalingBytes+scalingBytes/20))
}

// jpegOf returns a JPEG of black pixels.
func jpegOf(before string, sof byte, width, height, components int) string {
	scan := []byte{byte(components)}
	for i := range components {
		scan = append(scan, byte(i+1), 0)
	}
	last := byte(63)
	if sof == 0xc2 {
		last = 0
	}
	blocks := (width + 7) / 8 * ((height + 7) / 8) * components
	return jpegHead(before, sof, width, height, components) + segment(0xda, string(append(scan, 0, last, 0))) +
		strings.Repeat("\x00", blocks*16/8+8) + "\xff\xd9"
}

func written(encode func(io.Writer, image.Image) error, p image.Image) string {
	var b bytes.Buffer
	_ = encode(&b, p)
	return b.String()
}

func encodeJPEG(w io.Writer, p image.Image) error { return imagejpeg.Encode(w, p, nil) }

func encodeGIF(w io.Writer, p image.Image) error { return imagegif.Encode(w, p, nil) }

// pngOf returns a PNG of zeros in which one color, unless it has a palette, means transparent.
func pngOf(edge, depth, kind, interlace int) string {
	samples := 1
	if kind == 2 {
		samples = 3
	}
	var pixels bytes.Buffer
	z := zlib.NewWriter(&pixels)
	rows := 0
	for _, pass := range adam7[interlace] {
		w, h := (edge-pass[0]+pass[2]-1)/pass[2], (edge-pass[1]+pass[3]-1)/pass[3]
		rows += h * (1 + w*samples*depth/8)
	}
	_, _ = z.Write(make([]byte, rows))
	_ = z.Close()
	size := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(edge)), uint32(edge))
	return "\x89PNG\r\n\x1a\n" + chunk("IHDR", string(append(size, byte(depth), byte(kind), 0, 0, byte(interlace)))) +
		chunk("tRNS", strings.Repeat("\x00", 2*samples)) + chunk("IDAT", pixels.String()) + chunk("IEND", "")
}

// adam7 are the passes of a PNG that is not, or is, interlaced: where they begin, and the distance of their pixels.
var adam7 = [2][][4]int{
	{{0, 0, 1, 1}},
	{{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}},
}

func chunk(kind, data string) string {
	length := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	return string(length) + kind + data + string(binary.BigEndian.AppendUint32(nil,
		crc32.ChecksumIEEE([]byte(kind+data))))
}

// interlaced marks a GIF as interlaced, with rows in four passes.
func interlaced(file string) string {
	b := []byte(file)
	b[strings.Index(file, "\x2c\x00\x00\x00\x00")+9] |= 0x40
	return string(b)
}
