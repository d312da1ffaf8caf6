package chat

import (
	"testing"

	"housecall/internal/testing/apitest"
)

// The statements that are put together from parts can be read whole in testdata, as they are run.
func TestStore_statements(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"select_standings": selectStandings, "select_changed": selectChanged, "select_unread": selectUnread,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			apitest.GoldenFile(t, name+".sql", []byte(sql+"\n"))
		})
	}
}
