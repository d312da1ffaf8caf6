package audit

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"housecall/internal/postgres"
)

const (
	// sealEvery is how long a row normally waits for its place in the chain.
	sealEvery = time.Second
	// sealBatch is how many rows one transaction seals.
	sealBatch = 500
	// sealTimeout bounds one round; an unfinished one is rolled back and tried again.
	sealTimeout = 30 * time.Second
)

// Report is what Verify found.
type Report struct {
	// Sealed is how many rows the chain has, and Head the seal of the last one. Whoever keeps a copy of both elsewhere
	// can tell later whether the whole chain was rewritten.
	Sealed int64
	Head   []byte
	// Unsealed is how many rows wait for the sealer.
	Unsealed int64
	// Broken is the first position whose row is missing or differs from what was sealed; 0 if the chain is intact.
	Broken int64
}

// Verify walks the whole chain in one snapshot, a row at a time.
func Verify(ctx context.Context, db postgres.DB) (Report, error) {
	var r Report
	err := eachSealed(ctx, db, func(row sealedRow) bool {
		if want := chain(r.Head, row.row); row.Position != r.Sealed+1 || string(want[:]) != string(row.Seal) {
			r.Broken = r.Sealed + 1
			return false
		}
		r.Sealed, r.Head = row.Position, row.Seal
		return true
	})
	if err != nil {
		return Report{}, fmt.Errorf("verify audit chain: %w", err)
	}
	if r.Unsealed, err = countUnsealed(ctx, db); err != nil {
		return Report{}, fmt.Errorf("verify audit chain: %w", err)
	}
	return r, nil
}

// chain returns the seal of a row that follows the one sealed previous: SHA-256 over the previous seal and the row.
// Each text is preceded by its length, so that nothing can be moved from one column to the next.
func chain(previous []byte, r row) [sha256.Size]byte {
	b := append(make([]byte, 0, 512), "housecall audit 1\n"...)
	b = text(b, string(previous))
	for _, n := range []int64{r.ID, r.At.UnixMicro(), r.ActorID, r.PatientID} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	for _, s := range []string{r.ActorRole, r.Action, r.Subject, r.RequestID, r.Detail} {
		b = text(b, s)
	}
	return sha256.Sum256(b)
}

func text(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint64(b, uint64(len(s))), s...)
}

// Sealer gives new rows their place in the chain. Every instance runs one; a lock makes them take turns.
type Sealer struct {
	pool *postgres.Pool
	log  zerolog.Logger

	mu   sync.Mutex // guards stop and done
	stop context.CancelFunc
	done chan struct{}
}

// NewSealer makes a sealer; it does nothing until Start or SealOnce.
func NewSealer(pool *postgres.Pool, log zerolog.Logger) *Sealer {
	return &Sealer{pool: pool, log: log}
}

// Start seals every second from now on, until Stop. A second Start does nothing.
func (s *Sealer) Start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.stop, s.done = cancel, make(chan struct{})
	go s.run(ctx, s.done)
}

// Stop ends what Start began and returns once it has ended; rows not sealed by then wait for the next sealer. It does
// nothing if Start was not called before.
func (s *Sealer) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done == nil {
		return
	}
	s.stop()
	<-s.done
	s.done = nil
}

func (s *Sealer) run(ctx context.Context, done chan<- struct{}) {
	defer close(done)
	tick := time.NewTicker(sealEvery)
	defer tick.Stop()
	for failing := false; ; {
		_, err := s.SealOnce(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing: // once per outage, not every second
			s.log.Warn().Err(err).Msg("audit rows cannot be sealed; trying again every second")
		case err == nil && failing:
			s.log.Info().Msg("audit rows are sealed again")
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// SealOnce seals all rows that are there now and returns how many. It does not wait for a sealer that is at work
// elsewhere: that one seals the rows.
func (s *Sealer) SealOnce(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, sealTimeout)
	defer cancel()
	for total := 0; ; {
		n, err := s.sealBatch(ctx)
		total += n
		if err != nil {
			return total, fmt.Errorf("seal audit rows: %w", err)
		}
		if n < sealBatch {
			return total, nil
		}
	}
}

// errBusy ends the transaction of a sealer that came second.
var errBusy = errors.New("another sealer is at work")

func (s *Sealer) sealBatch(ctx context.Context) (sealed int, err error) {
	err = s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		sealed = 0
		mine, err := takeSealLock(ctx, tx)
		if err != nil {
			return err
		}
		if !mine {
			return errBusy
		}
		position, previous, err := head(ctx, tx)
		if err != nil {
			return err
		}
		rows, err := unsealed(ctx, tx, sealBatch)
		if err != nil || len(rows) == 0 {
			return err
		}
		ids, seals := make([]int64, len(rows)), make([][]byte, len(rows))
		for i, r := range rows {
			seal := chain(previous, r)
			previous = seal[:]
			ids[i], seals[i] = r.ID, previous
		}
		sealed = len(rows)
		return setSeals(ctx, tx, position, ids, seals)
	})
	if errors.Is(err, errBusy) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return sealed, nil
}
