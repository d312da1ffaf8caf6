package search

import (
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/postgres"
)

// asBefore indexes a conversation as the release before does: with its words, and without this one's columns.
func (w *world) asBefore(id int64) {
	w.T.Helper()
	ctx := w.T.Context()
	scopes := []string{scopeWord(w.Patient.ID, 2900), scopeWord(w.Doctor.ID, 2900)}
	type written struct {
		Seq  int64
		Body string
	}
	all, err := postgres.Rows[written](ctx, w.Pool, "messages",
		`select seq, body from messages where room_id = $1 and kind = 'text'`, id)
	require.NoError(w.T, err)
	for _, m := range all {
		words := vector(wordsBefore(m.Body), 0) + lexeme(scopes[0]) + " " + lexeme(scopes[1])
		w.Exec(`insert into search_documents (room_id, seq, at, words)
			select room_id, seq, '2025-08-01Z', $3::text::tsvector from messages where room_id = $1 and seq = $2
			on conflict (room_id, seq) do update set words = excluded.words`, id, m.Seq, words)
	}
	for _, user := range []int64{w.Patient.ID, w.Doctor.ID} {
		w.Exec(`insert into search_weeks as w (user_id, week, documents) values ($1, 2900, $2)
			on conflict (user_id, week) do update set documents = w.documents + excluded.documents`, user, len(all))
	}
	w.Exec(`insert into search_rooms (room_id, users, seq)
		select id, array[$2::bigint, $3], head_seq from conversations where id = $1
		on conflict (room_id) do update set users = excluded.users, seq = excluded.seq, doctor_id = null`,
		id, min(w.Patient.ID, w.Doctor.ID), max(w.Patient.ID, w.Doctor.ID))
}

// What the release before has indexed is found while it is indexed anew, and afterwards whatever script it is typed in.
func TestService_index_anew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, id, other := w.serve(), w.Conversation(), w.Conversation()
	w.nobodyIndexes()
	texts := []string{"علی عندي صـــداع", "肺ｶﾞﾝです", "\u1103\u116e\u1110\u1169\u11bc", "خذ ٥٠٠ملغ", "a plain headache"}
	for _, text := range texts {
		in.say(t, id, w.Patient, text)
	}
	w.Exec(`update messages set at = '2025-08-01Z' where room_id = $1`, id)
	in.say(t, other, w.Patient, "another headache")
	w.asBefore(id)
	sought := func() (same, folded []int) {
		for i, q := range []string{"علی", "ｶﾞﾝ", "\u1103\u116e\u1110\u1169\u11bc", "٥٠٠ملغ", "headache"} {
			if got := in.found(t, w.Patient, q, 9); len(got) > 0 && got[len(got)-1] == hit(id, int64(i+1)) {
				same = append(same, i)
			}
		}
		for i, q := range []string{"علي", "ガン", "두통", "500", "HEADACHE"} {
			if got := in.foundIn(t, id, q); len(got) == 1 && got[0] == int64(i+1) {
				folded = append(folded, i)
			}
		}
		return same, folded
	}
	everything := []int{0, 1, 2, 3, 4}
	documents := `select sum(documents) from search_weeks where user_id = $1 and week = 2900`
	counted := w.Number(documents, w.Patient.ID)
	for step := range len(texts) {
		same, folded := sought()
		require.Equal(t, everything, same, "as it is written, before step %d", step)
		require.GreaterOrEqual(t, len(folded), step)
		require.NoError(t, w.Pool.InTx(t.Context(), func(tx *postgres.Tx) error {
			more, err := indexSome(t.Context(), tx, []int64{id}, 1)
			require.Equal(t, step < len(texts)-1, more)
			return err
		}))
		require.EqualValues(t, len(texts), w.Number(`select seq from search_rooms where room_id = $1`, id),
			"searches need not read the log again")
	}
	same, folded := sought()
	require.Equal(t, everything, same)
	require.Equal(t, everything, folded)
	require.Equal(t, counted, w.Number(documents, w.Patient.ID), "no document is counted twice")

	// An instance of the release before finds what this one has indexed.
	for _, text := range texts[:4] {
		terms, _ := termsOf(text, wordsBefore)
		require.EqualValues(t, 1, w.Number(`select count(*) from search_documents where words @@ $1::text::tsquery`,
			tsqueryOf(terms)), text)
	}

	// A word that is excluded is one of this release: as the release before writes the letter in "ｶﾞﾝ", it is no word of
	// that text.
	require.Len(t, in.foundIn(t, id, "です -カ"), 1)

	// It goes on indexing beside this one, which indexes that again.
	in.say(t, id, w.Patient, "دکتر")
	w.asBefore(id)
	require.Empty(t, in.foundIn(t, id, "دكتر"))
	w.somebodyIndexes()
	in.indexAll(t)
	require.Len(t, in.foundIn(t, id, "دكتر"), 1)
	left, err := someBehind(t.Context(), w.Pool, 0, 9)
	require.NoError(t, err)
	require.Empty(t, left)
	require.Len(t, in.found(t, w.Doctor, "headache", 9), 2)
}
