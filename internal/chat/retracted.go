package chat

import "context"

// Retracted gives those of a room's messages that were taken back.
func (s *Service) Retracted(ctx context.Context, room int64, seqs []int64) (map[int64]bool, error) {
	targets, err := selectRetracted(ctx, s.d.Pool, room, seqs)
	if err != nil {
		return nil, err
	}
	out := make(map[int64]bool, len(targets))
	for _, seq := range targets {
		out[seq] = true
	}
	return out, nil
}
