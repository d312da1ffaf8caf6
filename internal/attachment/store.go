package attachment

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"housecall/internal/errs"
	"housecall/internal/postgres"
)

const columns = `a.id, a.room_id as conversation_id, a.uploader_id, u.public_id as uploader, a.name, a.media_type,
    a.size_bytes, a.sha256, a.width, a.height, a.thumbnail, a.created_at, a.stored_at, a.seq
from attachments a join users u on u.id = a.uploader_id `

// uploaded is how many files a conversation got in the last day, and when the first of them came.
type uploaded struct {
	Files int
	First *time.Time
}

// countUploads takes the lock under which the files of a conversation are counted and added, until tx ends.
func countUploads(ctx context.Context, tx *postgres.Tx, conversation int64) (uploaded, error) {
	if _, err := postgres.Exec(ctx, tx, "lock a conversation's files",
		`select pg_advisory_xact_lock(hashtextextended('attachments', $1))`, conversation); err != nil {
		return uploaded{}, err
	}
	all, err := postgres.Rows[uploaded](ctx, tx, "a conversation's files", `
select count(*) as files, min(created_at) as first from attachments where room_id = $1 and created_at > $2`,
		conversation, tx.Now().Add(-day))
	if err != nil {
		return uploaded{}, err
	}
	return all[0], nil
}

// insert inserts the row of a file whose bytes have yet to come.
func insert(ctx context.Context, tx *postgres.Tx, a Attachment) error {
	_, err := postgres.Exec(ctx, tx, "insert an attachment", `
insert into attachments (id, room_id, uploader_id, name, media_type) values ($1, $2, $3, $4, $5)`,
		a.ID, a.ConversationID, a.UploaderID, a.Name, a.MediaType)
	return err
}

// markStored notes that the bytes are stored; false if there is no such row, or no longer.
func markStored(ctx context.Context, tx *postgres.Tx, a Attachment) (bool, error) {
	n, err := postgres.Exec(ctx, tx, "complete an attachment", `
update attachments set size_bytes = $2, sha256 = $3, width = $4, height = $5, thumbnail = $6, stored_at = now()
where id = $1 and stored_at is null and seq is null`, a.ID, a.SizeBytes, a.SHA256, a.Width, a.Height, a.Thumbnail)
	return n == 1, err
}

// stored returns a complete file of a conversation; errs.NotFound if there is none.
func stored(ctx context.Context, db postgres.DB, conversation int64, id uuid.UUID) (Attachment, error) {
	all, err := postgres.Rows[Attachment](ctx, db, "an attachment",
		`select `+columns+`where a.id = $1 and a.room_id = $2 and a.stored_at is not null`, id, conversation)
	if err != nil {
		return Attachment{}, err
	}
	if len(all) == 0 {
		return Attachment{}, errs.Missing("attachment")
	}
	return all[0], nil
}

// sentBefore returns files that messages before a seq have sent, newest first.
func sentBefore(ctx context.Context, db postgres.DB, conversation, seq int64, limit int) ([]Attachment, error) {
	return postgres.Rows[Attachment](ctx, db, "attachments", `
select `+columns+`where a.room_id = $1 and a.seq is not null and a.seq < $2 order by a.seq desc limit $3`,
		conversation, seq, limit)
}

// disown marks files of these ages as incomplete that nobody has sent, or that were never complete, and returns their
// ids. From then on nobody sees them and no message can send them: a message locks the row, and so does this. It
// returns a disowned file again until forget has deleted the row.
func disown(ctx context.Context, tx *postgres.Tx, unsent, unfinished time.Duration, limit int) ([]uuid.UUID, error) {
	return postgres.Column[uuid.UUID](ctx, tx, "orphaned attachments", `
update attachments set stored_at = null where id in (
    select id from attachments
    where seq is null and created_at < case when stored_at is null then $2::timestamptz else $1::timestamptz end
    order by created_at limit $3 for update skip locked
) returning id`, tx.Now().Add(-unsent), tx.Now().Add(-unfinished), limit)
}

// forget deletes the row of a file whose bytes were deleted.
func forget(ctx context.Context, db postgres.DB, id uuid.UUID) error {
	if _, err := postgres.Exec(ctx, db, "delete an attachment",
		`delete from attachments where id = $1 and seq is null and stored_at is null`, id); err != nil {
		return fmt.Errorf("forget %s: %w", id, err)
	}
	return nil
}
