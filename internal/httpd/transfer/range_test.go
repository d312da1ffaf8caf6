package transfer

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever range a client asks for, the plan is within the content.
func FuzzRange(f *testing.F) {
	for _, seed := range []string{"bytes=0-0", "bytes=5-", "bytes=-5", "bytes=-0", "bytes=0-1,3-4", "bytes=99999999999999999999-", "x=1-2", "bytes=5-4"} {
		f.Add(seed, int64(10))
	}
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size < 1 || size > 1<<40 {
			return
		}
		one := singleRange(header, size)
		r := &http.Request{Method: http.MethodHead, Header: http.Header{}}
		if one != "" {
			require.Equal(t, one, singleRange(one, size), "what is plain stays")
			r.Header.Set("Range", one)
		}
		p := planFor(r, Content{Size: size, ETag: `"x"`, Type: "text/plain"})
		switch p.status {
		case http.StatusOK:
			require.Zero(t, p.offset)
			require.Equal(t, size, p.length)
		case http.StatusPartialContent:
			require.GreaterOrEqual(t, p.offset, int64(0))
			require.Positive(t, p.length)
			require.LessOrEqual(t, p.offset+p.length, size)
		default:
			require.Equal(t, http.StatusRequestedRangeNotSatisfiable, p.status)
		}
	})
}
