package jobs

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"housecall/internal/postgres"
)

// columns of a Job. Of a job's arguments only three are read, which name no person: the name of a periodic function,
// the kind of an email, and the public id of the appointment that it is about.
const columns = `id, case kind when 'periodic' then kind || ':' || coalesce(args ->> 'name', '') else kind end as kind,
	coalesce(args ->> 'notice', '') as notice, coalesce(args ->> 'publicId', '') as appointment,
	state::text as state, attempt, max_attempts, created_at, scheduled_at, finalized_at,
	coalesce(regexp_replace(errors[array_upper(errors, 1)] ->> 'error', '^JobCancelError: ', ''), '') as last_error`

// list returns at most limit jobs below an id, newest first. A failed job that waits only briefly is available or
// scheduled again at once, so only its errors show that it has failed.
func list(ctx context.Context, db postgres.DB, states []State, before int64, limit int) ([]Job, error) {
	rows, err := db.Query(ctx, `
		select `+columns+` from river_job
		where (state::text = any($1::text[])
			or cardinality($1::text[]) = 0 and (state in ('discarded', 'cancelled', 'retryable')
			or state in ('available', 'running', 'scheduled') and cardinality(errors) > 0))
		  and ($2::bigint = 0 or id < $2)
		order by id desc limit $3`, texts(states), before, limit)
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", postgres.Classify(err))
	}
	jobs, err := pgx.CollectRows(rows, pgx.RowToStructByName[Job])
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", postgres.Classify(err))
	}
	return jobs, nil
}

func texts(states []State) []string {
	out := make([]string, len(states))
	for i, s := range states {
		out[i] = string(s)
	}
	return out
}

// lockedFailed returns the ids of up to limit failed jobs, and holds their rows; see RetryAll. Those that were tried
// longest ago come first, so that what fails again does not keep others from their turn.
func lockedFailed(ctx context.Context, tx *postgres.Tx, kind string, limit int) ([]int64, error) {
	rows, err := tx.Query(ctx, `
		select id from river_job
		where state in ('discarded', 'cancelled', 'retryable')
		  and (kind = $1 or $1 = '' and kind <> $2)
		order by attempted_at nulls first, id limit $3 for update skip locked`, kind, periodicKind, limit)
	if err != nil {
		return nil, fmt.Errorf("find failed jobs: %w", postgres.Classify(err))
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("find failed jobs: %w", postgres.Classify(err))
	}
	return ids, nil
}

// locked reads a job and holds its row until the transaction ends.
func locked(ctx context.Context, tx *postgres.Tx, id int64) (Job, error) {
	rows, err := tx.Query(ctx, `select `+columns+` from river_job where id = $1 for update`, id)
	if err != nil {
		return Job{}, fmt.Errorf("read job: %w", postgres.Classify(err))
	}
	j, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Job])
	if errors.Is(err, pgx.ErrNoRows) {
		return Job{}, ErrMissing
	}
	if err != nil {
		return Job{}, fmt.Errorf("read job: %w", postgres.Classify(err))
	}
	return j, nil
}
