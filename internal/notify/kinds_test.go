package notify

import (
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each kind has a template that is not empty, and each template belongs to a kind.
func TestKinds(t *testing.T) {
	t.Parallel()
	belongs := map[string]bool{}
	for _, kind := range Kinds() {
		require.False(t, belongs[kind.template()], "%s is there twice", kind)
		belongs[kind.template()] = true
		subject, text, html, err := render(kind,
			view{Other: "Ada", Link: "https://clinic.test/a", Home: home, Until: "soon"})
		require.NoError(t, err, kind)
		require.NotEmpty(t, subject, kind)
		require.Contains(t, text, "https://clinic.test/a", kind)
		require.Contains(t, html, "https://clinic.test/a", kind)
	}
	templates, err := fs.Glob(files, "templates/*.txt")
	require.NoError(t, err)
	require.Len(t, templates, len(belongs))
	for _, file := range templates {
		require.True(t, belongs[file[len("templates/"):]], "%s belongs to no kind", file)
	}
}

// A kind is either about the account, and nobody can turn it off, or one that people can turn off.
func TestKind_traits(t *testing.T) {
	t.Parallel()
	optional := map[Kind]bool{}
	for _, kind := range Optional() {
		optional[kind] = true
	}
	for _, kind := range Kinds() {
		require.Equal(t, !kind.Security(), optional[kind], kind)
		require.False(t, kind.Security() && !kind.Urgent(), "%s would wait for the end of quiet hours", kind)
		require.False(t, kind.reminder() && kind.move(), kind)
	}
	require.Zero(t, Kind("other").traits())
}
