package chat

import (
	"context"

	"housecall/internal/postgres"
)

// selectRetracted gives those of a room's messages that were taken back; messages_edits_idx finds them.
func selectRetracted(ctx context.Context, db postgres.DB, room int64, seqs []int64) ([]int64, error) {
	return postgres.Column[int64](ctx, db, "retractions", `
select target from messages where room_id = $1 and kind = 'retraction' and target = any($2)`, room, seqs)
}
