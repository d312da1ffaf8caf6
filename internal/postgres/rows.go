package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Rows reads all that a query finds into structs, fields by the names of columns (see pgx.RowToStructByName). what
// names it in errors, which are classified.
func Rows[T any](ctx context.Context, db DB, what, sql string, args ...any) ([]T, error) {
	return collect(ctx, db, pgx.RowToStructByName[T], what, sql, args...)
}

// Column is Rows for a query of a single column.
func Column[T any](ctx context.Context, db DB, what, sql string, args ...any) ([]T, error) {
	return collect(ctx, db, pgx.RowTo[T], what, sql, args...)
}

func collect[T any](ctx context.Context, db DB, scan pgx.RowToFunc[T], what, sql string, args ...any) ([]T, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, Classify(err))
	}
	all, err := pgx.CollectRows(rows, scan)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, Classify(err))
	}
	return all, nil
}

// Exec runs a statement and gives the number of rows that it touched or found. what says what it does, in errors, which
// are classified and keep the constraint that refused.
func Exec(ctx context.Context, db DB, what, sql string, args ...any) (int64, error) {
	tag, err := db.Exec(ctx, sql, args...)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", what, Classify(err))
	}
	return tag.RowsAffected(), nil
}
