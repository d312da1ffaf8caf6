package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Rows reads all rows of a query into structs, fields by column name (see pgx.RowToStructByName). what names the query
// in errors, which are classified.
func Rows[T any](ctx context.Context, db DB, what, sql string, args ...any) ([]T, error) {
	return collect(ctx, db, pgx.RowToStructByName[T], query{what, sql, args})
}

// Column is Rows for a query of a single column.
func Column[T any](ctx context.Context, db DB, what, sql string, args ...any) ([]T, error) {
	return collect(ctx, db, pgx.RowTo[T], query{what, sql, args})
}

// query is a statement that reads, with its arguments; what names it in errors.
type query struct {
	what, sql string
	args      []any
}

func collect[T any](ctx context.Context, db DB, scan pgx.RowToFunc[T], q query) ([]T, error) {
	rows, err := db.Query(ctx, q.sql, q.args...)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", q.what, Classify(err))
	}
	all, err := pgx.CollectRows(rows, scan)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", q.what, Classify(err))
	}
	return all, nil
}

// Exec runs a statement and returns the number of affected rows. what names the statement in errors, which are
// classified; Constraint finds the constraint in them.
func Exec(ctx context.Context, db DB, what, sql string, args ...any) (int64, error) {
	tag, err := db.Exec(ctx, sql, args...)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", what, Classify(err))
	}
	return tag.RowsAffected(), nil
}
