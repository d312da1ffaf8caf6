package errs

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestKindOf(t *testing.T) {
	t.Parallel()
	taken := New(Conflict, "slot_taken", "This time is taken.")
	for name, c := range map[string]struct {
		err  error
		kind Kind
		code string
	}{
		"nil":                        {nil, Internal, ""},
		"a foreign error":            {io.EOF, Internal, ""},
		"ours":                       {taken, Conflict, "slot_taken"},
		"wrapped":                    {fmt.Errorf("book APP1: %w", taken), Conflict, "slot_taken"},
		"joined":                     {errors.Join(io.EOF, taken), Conflict, "slot_taken"},
		"the outermost counts":       {&Error{Kind: Unavailable, Code: "unavailable", Message: "Later.", Err: taken}, Unavailable, "unavailable"},
		"the zero value is internal": {&Error{Code: "odd"}, Internal, "odd"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.kind, KindOf(c.err))
			require.Equal(t, c.code, CodeOf(c.err))
		})
	}
}

func TestError_Is(t *testing.T) {
	t.Parallel()
	require.ErrorIs(t, fmt.Errorf("update: %w", ErrStale), ErrStale)
	detailed := *ErrUnavailable
	detailed.RetryAfter, detailed.Err = time.Minute, io.EOF
	require.ErrorIs(t, &detailed, ErrUnavailable, "details do not make it another error")
	require.ErrorIs(t, &detailed, io.EOF, "and the cause is found")
	require.NotErrorIs(t, New(Conflict, "stale", ""), ErrStale, "the kind matters")
	require.NotErrorIs(t, New(PreconditionFailed, "other", ""), ErrStale, "and so does the code")
	require.NotErrorIs(t, io.EOF, ErrStale)
	require.NotErrorIs(t, ErrStale, io.EOF)
}

func TestError_Error(t *testing.T) {
	t.Parallel()
	require.EqualError(t, New(Conflict, "slot_taken", "This time is taken."), "slot_taken: This time is taken.")
	require.EqualError(t, (&Error{Kind: Unavailable, Code: "unavailable", Message: "Later.", Err: io.EOF}),
		"unavailable: Later.: EOF")
	require.NoError(t, New(Conflict, "a", "b").Unwrap())
}

func TestError_With(t *testing.T) {
	t.Parallel()
	base := New(Conflict, "slot_taken", "This time is taken.")
	one := base.With("alternatives", []int{1})
	two := one.With("count", 2)
	other := one.With("count", 3)
	require.Nil(t, base.Extra, "a sentinel may be extended by many at once")
	require.Equal(t, map[string]any{"alternatives": []int{1}}, one.Extra)
	require.Equal(t, map[string]any{"alternatives": []int{1}, "count": 2}, two.Extra)
	require.Equal(t, map[string]any{"alternatives": []int{1}, "count": 3}, other.Extra)
	require.ErrorIs(t, two, base)
}

func TestInvalidField(t *testing.T) {
	t.Parallel()
	err := InvalidField("body.email", "must be an email address")
	require.Equal(t, Invalid, KindOf(err))
	require.Equal(t, "invalid", CodeOf(err))
	require.Equal(t, []Field{{Path: "body.email", Message: "must be an email address"}}, err.Fields)
	require.Len(t, InvalidFields(Field{"a", "b"}, Field{"c", "d"}).Fields, 2)
}

func TestMissing(t *testing.T) {
	t.Parallel()
	err := Missing("doctor")
	require.Equal(t, NotFound, KindOf(err))
	require.Equal(t, "There is no such doctor.", err.Message)
	require.ErrorIs(t, err, Missing("appointment"), "what is missing is for people, not for programs")
}

// The sentinels are the errors that clients see most: each says what to do.
func TestSentinels(t *testing.T) {
	t.Parallel()
	codes := map[string]bool{}
	for _, e := range []*Error{ErrUnauthenticated, ErrForbidden, ErrStale, ErrNoMatch, ErrUnavailable} {
		require.NotEqual(t, Internal, e.Kind, e.Code)
		require.Regexp(t, `^[a-z_]+$`, e.Code)
		require.Regexp(t, `^[A-Z].*\.$`, e.Message, "a sentence")
		require.False(t, codes[e.Code], e.Code)
		codes[e.Code] = true
	}
	require.Positive(t, ErrUnavailable.RetryAfter)
}
