package appointment_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
)

// bigClinic has 1,000 doctors of 20 specializations and 200,000 appointments, most of them ahead: about 200 for each
// doctor over three months.
func bigClinic(b *testing.B) *world {
	b.Helper()
	w := newWorld(b)
	w.exec(`insert into users (public_id, email, name, role, password_hash)
		select 'DOCBIG' || n, n || '@big.test', 'Dr ' || n, 'DOCTOR', 'x' from generate_series(1, 998) n`)
	w.exec(`insert into doctors (user_id, specialization)
		select id, 'Specialization ' || id % 20 from users where public_id like 'DOCBIG%'`)
	w.exec(`update doctors set specialization = 'Specialization 0' where specialization = 'Cardiology'`)
	w.exec(`insert into users (public_id, email, name, role)
		select 'PATBIG' || n, n || '@bigpat.test', 'Somebody', 'PATIENT' from generate_series(1, 5000) n`)
	w.exec(`insert into patients (user_id) select id from users where public_id like 'PATBIG%'`)
	// Every doctor, every hour of their days: the patients take turns, so that none is at two places at once.
	w.exec(`insert into appointments (public_id, patient_id, doctor_id, status, starts_at, ends_at)
		select 'APP' || d.n || '-' || s.n, p.user_id, d.user_id, 'BOOKED', s.at, s.at + interval '30 minutes'
		from (select user_id, row_number() over (order by user_id) - 1 as n from doctors) d
		cross join (select g as n, timestamptz '2026-03-03 09:00Z' + make_interval(days => g / 3, hours => g % 3) as at
			from generate_series(0, 199) g) s
		join (select user_id, row_number() over (order by user_id) - 1 as n from patients) p on p.n = (d.n + s.n * 7) % 5000`)
	w.exec(`insert into slot_claims (appointment_id, doctor_id, patient_id, blocked, visible)
		select id, doctor_id, patient_id, tstzrange(starts_at, ends_at), tstzrange(starts_at, ends_at) from appointments`)
	w.exec(`analyze`)
	require.Equal(b, 200_000, w.count(`select count(*) from slot_claims`))
	return w
}

// percentile95 runs f until the benchmark has enough and reports the 95th percentile of its times.
func percentile95(b *testing.B, f func()) {
	b.Helper()
	var times []time.Duration
	for b.Loop() {
		start := time.Now()
		f()
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)*95/100].Microseconds())/1000, "p95-ms")
}

func BenchmarkService_slots(b *testing.B) {
	w := bigClinic(b)
	ctx := context.Background()
	month := func(zone *time.Location, now time.Time) (time.Time, time.Time, error) {
		return now, now.In(zone).AddDate(0, 0, 31), nil
	}
	b.Run("one doctor's month", func(b *testing.B) {
		percentile95(b, func() {
			slots, _, err := w.svc.Slots(ctx, w.doctor.UserID, month)
			require.NoError(b, err)
			require.NotEmpty(b, slots)
		})
	})
	b.Run("earliest of a specialization", func(b *testing.B) {
		percentile95(b, func() {
			slots, err := w.svc.Search(ctx, "specialization 0", month, 1)
			require.NoError(b, err)
			require.Len(b, slots, 1)
		})
	})
	b.Run("first twenty of a specialization", func(b *testing.B) {
		percentile95(b, func() {
			slots, err := w.svc.Search(ctx, "specialization 0", month, 20)
			require.NoError(b, err)
			require.Len(b, slots, 20)
		})
	})
	w.exec(`update doctors set specialization = 'General'`)
	b.Run("earliest of a thousand doctors", func(b *testing.B) {
		percentile95(b, func() {
			slots, err := w.svc.Search(ctx, "general", month, 1)
			require.NoError(b, err)
			require.Len(b, slots, 1)
		})
	})
	b.Run("book any of a specialization's doctors", func(b *testing.B) {
		w.exec(`update doctors set specialization = 'Specialization ' || user_id % 20`)
		at := at(10, 30)
		percentile95(b, func() {
			_, err := w.svc.Hold(ctx, w.patient, appointment.Booking{Specialization: "specialization 1", StartsAt: &at})
			require.NoError(b, err)
		})
	})
}
