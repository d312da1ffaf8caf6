package postgres_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"housecall/internal/postgres"
	"housecall/internal/testing/pgtest"
	"housecall/migrations"
)

var databases atomic.Int64

// empty returns the address of a new database without a schema.
func empty(t *testing.T) string {
	t.Helper()
	server := pgtest.Server(t)
	database := fmt.Sprintf("empty_%d", databases.Add(1))
	run := func(statement string) {
		admin, err := pgx.Connect(context.Background(), server.DSN("postgres"))
		require.NoError(t, err)
		defer admin.Close(context.Background())
		_, err = admin.Exec(context.Background(), statement)
		require.NoError(t, err)
	}
	run("create database " + database)
	t.Cleanup(func() { run("drop database " + database + " with (force)") })
	return server.DSN(database)
}

func TestMigrate_AtOnce(t *testing.T) {
	t.Parallel()
	dsn := empty(t)
	before, err := postgres.MigrationStatus(t.Context(), dsn)
	require.NoError(t, err)
	require.NotEmpty(t, before)
	for i, m := range before {
		require.Zero(t, m.AppliedAt, "pending")
		require.EqualValues(t, i+1, m.Version, "numbered without gaps")
		require.NotEmpty(t, m.Name)
	}

	failures := make(chan error, 4)
	for range cap(failures) {
		go func() { failures <- postgres.Migrate(t.Context(), dsn) }()
	}
	for range cap(failures) {
		require.NoError(t, <-failures)
	}

	after, err := postgres.MigrationStatus(t.Context(), dsn)
	require.NoError(t, err)
	require.Len(t, after, len(before))
	for _, m := range after {
		require.NotZero(t, m.AppliedAt, m.Name)
	}
	var applied int
	err = open(t, dsn, 1).QueryRow(t.Context(), `select count(*) from goose_db_version where version_id > 0`).
		Scan(&applied)
	require.NoError(t, err)
	require.Equal(t, len(before), applied, "each once")
	require.NoError(t, postgres.Migrate(t.Context(), dsn), "and again there is nothing to do")
}

// schema lists everything that migrations make: columns, constraints, indexes, functions and triggers.
const schema = `
select coalesce(array_agg(what order by what), '{}') from (
    select format('%s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default) as what
    from information_schema.columns where table_schema = 'public'
    union all select format('%s: %s', conname, pg_get_constraintdef(oid)) from pg_constraint
        where connamespace = 'public'::regnamespace and conrelid <> 0
    union all select indexdef from pg_indexes where schemaname = 'public'
    union all select pg_get_functiondef(p.oid) from pg_proc p where pronamespace = 'public'::regnamespace and prokind = 'f'
        and not exists (select 1 from pg_depend d where d.objid = p.oid and d.deptype = 'e')
    union all select pg_get_triggerdef(oid) from pg_trigger where not tgisinternal
) things where what not like '%goose_db_version%'`

// Every migration can be undone without a trace, and applied again.
func TestMigrate_DownUp(t *testing.T) {
	t.Parallel()
	dsn := empty(t)
	pool := open(t, dsn, 1)
	read := func() (things []string) {
		require.NoError(t, pool.QueryRow(t.Context(), schema).Scan(&things))
		return things
	}
	db, err := sql.Open("pgx", dsn)
	require.NoError(t, err)
	defer db.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.FS)
	require.NoError(t, err)

	// The schema after each version, on the way up.
	steps, versions := [][]string{read()}, []int64{0}
	require.Empty(t, steps[0])
	for _, source := range provider.ListSources() {
		versions = append(versions, source.Version) // their numbers may have gaps
		_, err := provider.UpByOne(t.Context())
		require.NoError(t, err)
		steps = append(steps, read())
		require.NotEqual(t, steps[len(steps)-2], read())
	}
	top := len(steps) - 1
	for i := top; i >= 1; i-- {
		_, err := provider.DownTo(t.Context(), versions[i-1])
		require.NoError(t, err, "down from %d", versions[i])
		require.Equal(t, steps[i-1], read(), "down from %d leaves what was there before", versions[i])
		_, err = provider.Up(t.Context())
		require.NoError(t, err, "up again from %d", versions[i-1])
		require.Equal(t, steps[top], read(), "up again from %d", versions[i-1])
	}
}

// What is under way on instances of the release before ends well while the constraints of the claims are made anew, in
// whichever order it comes to the tables.
func TestMigrate_proposalClaims_noDeadlock(t *testing.T) {
	t.Parallel()
	for name, steps := range map[string][]string{
		"booking": {
			`select from doctors for no key update`, `delete from slot_claims where false`, `update appointments set version = 1 where false`,
		},
		"deadline": {`update appointments set version = 1 where false`, `delete from slot_claims where false`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := empty(t)
			db, err := sql.Open("pgx", dsn)
			require.NoError(t, err)
			defer db.Close()
			provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.FS)
			require.NoError(t, err)
			_, err = provider.UpTo(t.Context(), 19)
			require.NoError(t, err)
			pool := open(t, dsn, 2)
			migrated := make(chan error, 1)
			require.NoError(t, pool.InTx(t.Context(), func(tx *postgres.Tx) error {
				last := len(steps) - 1
				for _, step := range steps[:last] {
					if _, err := tx.Exec(t.Context(), step); err != nil {
						return err
					}
				}
				go func() { _, err := provider.UpByOne(t.Context()); migrated <- err }()
				require.Eventually(t, func() bool {
					var waits bool
					err := pool.QueryRow(t.Context(), `select exists (select from pg_locks l join pg_database d on d.oid = l.database
						where d.datname = current_database() and not granted)`).Scan(&waits)
					return err == nil && waits
				}, time.Minute, 5*time.Millisecond)
				_, err := tx.Exec(t.Context(), steps[last])
				return err
			}))
			require.NoError(t, <-migrated)
		})
	}
}

// The role of the service needs to own its database, and no other rights.
func TestMigrate_OrdinaryRole(t *testing.T) {
	t.Parallel()
	dsn := empty(t)
	admin := open(t, dsn, 1)
	_, err := admin.Exec(t.Context(), `create role ordinary login password 'hunter2'`)
	require.NoError(t, err)
	database := admin.Config().ConnConfig.Database
	_, err = admin.Exec(t.Context(), `alter database `+database+` owner to ordinary`)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := admin.Exec(context.Background(),
			`reassign owned by ordinary to current_user; drop owned by ordinary; drop role ordinary`)
		require.NoError(t, err)
	})
	theirs := with(t, dsn, func(u *url.URL) { u.User = url.UserPassword("ordinary", "hunter2") })
	require.NoError(t, postgres.Migrate(t.Context(), theirs))
	pool := open(t, theirs, 1)
	// The chat makes its epoch from this.
	_, err = pool.Exec(t.Context(),
		`select system_identifier, pg_walfile_name(pg_current_wal_lsn()) from pg_control_system()`)
	require.NoError(t, err)
	pool.Close()
}

func TestMigrate_Unreachable(t *testing.T) {
	t.Parallel()
	err := postgres.Migrate(t.Context(), "postgres://app:hunter2@"+unused(t)+"/housecall")
	require.ErrorContains(t, err, "apply migrations")
	require.NotContains(t, err.Error(), "hunter2")
	require.True(t, postgres.IsUnavailable(err))
}
