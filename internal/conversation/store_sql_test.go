package conversation

import (
	"testing"

	"housecall/internal/testing/apitest"
)

// TestStore_statements keeps the statements that are assembled from parts as files, so that each can be read whole
// and every change shows in a diff.
func TestStore_statements(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"insert_fast": insertFast, "insert_careful": insertCareful, "insert_all": insertAll,
		"select_up_to": selectUpTo, "select_places": selectPlaces,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			apitest.GoldenFile(t, name+".sql", []byte(sql+"\n"))
		})
	}
}
