package attachment

import (
	"encoding/binary"
	"image"
	"image/color"
)

const (
	// scalingBytes is what a thumbnail takes besides the picture: the roughly scaled picture, and what draw.CatmullRom
	// needs.
	scalingBytes = roughEdge*roughEdge*4 + ThumbnailEdge*roughEdge*32
	// pngInterlace is the offset at which a PNG says whether it is interlaced (ISO/IEC 15948, 11.2.1).
	pngInterlace = 28
	// Each byte of a lossless WebP can create webpTreesPerByte bytes of Huffman trees, which take at most webpTrees
	// bytes.
	webpTreesPerByte, webpTrees = 256, 130 << 20
)

// costOf returns how many bytes of memory decoding a picture takes at most; size is its length in bytes. The decoders
// are those of Go's standard library and of golang.org/x/image; TestPicture_cost checks them.
func costOf(begin []byte, format string, c image.Config, size int64) int64 {
	pixels := int64(c.Width) * int64(c.Height)
	switch format {
	case "jpeg":
		// JPEGs are decoded in whole units of up to 32 by 32 pixels.
		return scalingBytes + whole(c.Width)*whole(c.Height)*perJPEGPixel(c.ColorModel, scanJPEG(begin).baseline)
	case "png":
		return scalingBytes + pixels*perPNGPixel(c.ColorModel, begin)
	case "gif":
		return scalingBytes + 2*pixels // twice if it is interlaced
	default:
		return webpCost(begin, c, size)
	}
}

func whole(edge int) int64 { return (int64(edge) + 31) &^ 31 }

// perJPEGPixel does not cover a picture that says only after its pixels that they are RGB, which takes four bytes
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
	return 5*planes + converted // with all coefficients, four bytes each, until the last pass
}

func perPNGPixel(m color.Model, begin []byte) int64 {
	n := int64(4) // also for gray, where one gray may mean transparent
	switch m {
	case color.Gray16Model, color.RGBA64Model, color.NRGBA64Model:
		n = 8
	}
	if _, ok := m.(color.Palette); ok {
		n = 1
	}
	if len(begin) > pngInterlace && begin[pngInterlace] != 0 {
		return 2 * n // the passes and the whole picture
	}
	return n
}

// webpCost includes the Huffman trees that a file may have, but no more than there is memory for: a file that may have
// many is decoded alone. A lossy picture has none. The lossy decoder takes as much memory as the file claims as its
// length.
func webpCost(begin []byte, c image.Config, size int64) int64 {
	if len(begin) < 16 || int64(binary.LittleEndian.Uint32(begin[4:]))+8 > size {
		return decodingBytes + 1
	}
	pixels := whole(c.Width) * whole(c.Height)
	if string(begin[12:16]) == "VP8 " {
		return scalingBytes + size + 3*pixels
	}
	cost := scalingBytes + size + 14*pixels // a lossy picture, and its alpha, decoded as a lossless one
	if cost > decodingBytes {
		return cost
	}
	return min(cost+min(webpTreesPerByte*size, webpTrees), decodingBytes)
}
