package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"housecall/internal/errs"
)

// SQLSTATE codes that this package checks (PostgreSQL manual, appendix A).
const (
	codeSerialization = "40001"
	codeDeadlock      = "40P01"
	codeUnique        = "23505"
)

// ErrNoRows is pgx's, so that stores need not import pgx to compare it.
var ErrNoRows = pgx.ErrNoRows

// Constraint returns the name of the constraint that err violates (unique, exclusion, check, foreign key); "" if none.
func Constraint(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && strings.HasPrefix(pg.Code, "23") {
		return pg.ConstraintName
	}
	return ""
}

// IsUniqueViolation tells whether err is a violation of a unique constraint (23505).
func IsUniqueViolation(err error) bool { return sqlState(err) == codeUnique }

// IsData tells whether PostgreSQL refused a value as such (class 22): the statement will never succeed.
func IsData(err error) bool { return strings.HasPrefix(sqlState(err), "22") }

// IsUnavailable tells whether PostgreSQL could not be reached or cannot take work right now, so that the same
// statement may succeed later. It does not tell whether the statement took effect.
func IsUnavailable(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) {
		return false
	}
	if errs.KindOf(err) == errs.Unavailable {
		return true
	}
	if s := sqlState(err); s != "" {
		switch {
		case strings.HasPrefix(s, "08"), strings.HasPrefix(s, "53"), strings.HasPrefix(s, "57P"), strings.HasPrefix(s, "58"):
			return true
		case s == "25006": // read-only: a standby, or a primary being demoted
			return true
		}
		return false
	}
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || pgconn.Timeout(err) ||
		errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "conn closed")
}

// Classify turns a driver's error into ours: if PostgreSQL is unavailable, into errs.Unavailable; an *errs.Error, or
// an error that does not come from PostgreSQL, stays as it is. The text of an error does not contain the row that
// violated a constraint: pgx keeps PostgreSQL's DETAIL out of Error(), and so do we. Only the messages of class 22
// quote values, in casts from text; therefore statements pass values as parameters of their own type.
func Classify(err error) error {
	if err == nil || errs.CodeOf(err) != "" {
		return err
	}
	if IsUnavailable(err) || retryable(err) {
		e := *errs.ErrUnavailable
		e.Err = err
		return &e
	}
	return err
}

func retryable(err error) bool {
	s := sqlState(err)
	return s == codeSerialization || s == codeDeadlock
}

func sqlState(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}
