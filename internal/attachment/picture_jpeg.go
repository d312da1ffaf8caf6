package attachment

import (
	"bytes"
	"encoding/binary"
)

// jpegScan is what the segments before the pixels of a JPEG tell (ITU T.81, B).
type jpegScan struct {
	orientation int // 1 if the file has none
	// baseline is true if the pixels certainly come in one pass (SOF0 or SOF1). Otherwise, decoding may take several
	// times the memory; also for files that a decoder accepts although scanJPEG does not understand them.
	baseline bool
}

// scanJPEG reads the segments of what may be the beginning of a JPEG.
func scanJPEG(b []byte) jpegScan {
	s := jpegScan{orientation: 1}
	if len(b) < 4 || b[0] != 0xff || b[1] != 0xd8 {
		return s
	}
	for b = b[2:]; len(b) >= 4 && b[0] == 0xff; {
		marker := b[1]
		switch {
		case marker == 0xff: // padding
			b = b[1:]
			continue
		case marker >= 0xd0 && marker <= 0xd7: // RST0 to RST7, which have no length
			b = b[2:]
			continue
		case marker == 0xc0, marker == 0xc1:
			s.baseline = true
			return s
		case marker < 0xe0 && marker != 0xc4 && marker != 0xdb && marker != 0xdd: // no table: the pixels, of any other kind
			return s
		}
		length := int(binary.BigEndian.Uint16(b[2:]))
		if length < 2 || length+2 > len(b) {
			return s
		}
		if marker == 0xe1 {
			if o := exifOrientation(b[4 : 2+length]); o != 0 {
				s.orientation = o
			}
		}
		b = b[2+length:]
	}
	return s
}

// exifOrientation finds the orientation in the payload of an APP1 segment, in the first directory of a TIFF; 0 if
// there is none.
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
