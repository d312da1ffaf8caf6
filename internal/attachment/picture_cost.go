package attachment

import (
	"encoding/binary"
	"image"
	"image/color"
)

const (
	// scalingBytes is what making a thumbnail takes beside the picture: it scaled down roughly, and what draw.CatmullRom
	// keeps of it in between.
	scalingBytes = roughEdge*roughEdge*4 + ThumbnailEdge*roughEdge*32
	// pngInterlace is where a PNG says in its first chunk whether it is interlaced (ISO/IEC 15948, 11.2.1).
	pngInterlace = 28
	// Each byte of a lossless WebP may make so many of Huffman trees, of which there are so many bytes at most.
	webpTreesPerByte, webpTrees = 256, 130 << 20
)

// costOf is how many bytes of memory the decoders take at most for a picture of so many bytes that begins so. They are
// those of Go's standard library and of golang.org/x/image; TestPicture_cost holds them to it.
func costOf(begin []byte, format string, c image.Config, size int64) int64 {
	pixels := int64(c.Width) * int64(c.Height)
	switch format {
	case "jpeg":
		// In whole units of up to 32 by 32 pixels.
		return scalingBytes + whole(c.Width)*whole(c.Height)*perJPEGPixel(c.ColorModel, scanJPEG(begin).baseline)
	case "png":
		return scalingBytes + pixels*perPNGPixel(c.ColorModel, begin)
	case "gif":
		return scalingBytes + 2*pixels // once more when it is interlaced
	default:
		return webpCost(begin, c, size)
	}
}

func whole(edge int) int64 { return (int64(edge) + 31) &^ 31 }

// perJPEGPixel does not know of a picture that says only behind its pixels that they are RGB: it takes four bytes
// more.
func perJPEGPixel(m color.Model, baseline bool) int64 {
	planes, converted := int64(3), int64(0)
	switch m {
	case color.GrayModel:
		planes = 1
	case color.CMYKModel:
		planes, converted = 4, 4
	case color.RGBAModel:
		converted = 4
	}
	if baseline {
		return planes + converted
	}
	return 5*planes + converted // all coefficients, four bytes each, until the last pass
}

func perPNGPixel(m color.Model, begin []byte) int64 {
	n := int64(4) // gray too, where one gray stands for transparent
	switch m {
	case color.Gray16Model, color.RGBA64Model, color.NRGBA64Model:
		n = 8
	}
	if _, ok := m.(color.Palette); ok {
		n = 1
	}
	if len(begin) > pngInterlace && begin[pngInterlace] != 0 {
		return 2 * n // the passes beside the whole
	}
	return n
}

// webpCost charges Huffman trees that a file may have as far as there is memory for them: one that has many is decoded
// alone. What begins with a lossy picture has none. The lossy decoder takes as much memory as the file says that it is
// long.
func webpCost(begin []byte, c image.Config, size int64) int64 {
	if len(begin) < 16 || int64(binary.LittleEndian.Uint32(begin[4:]))+8 > size {
		return decodingBytes + 1
	}
	pixels := whole(c.Width) * whole(c.Height)
	if string(begin[12:16]) == "VP8 " {
		return scalingBytes + size + 3*pixels
	}
	cost := scalingBytes + size + 14*pixels // alpha, decoded as a lossless picture, beside a lossy one
	if cost > decodingBytes {
		return cost
	}
	return min(cost+min(webpTreesPerByte*size, webpTrees), decodingBytes)
}
