package storage

import "sync/atomic"

// Stats counts what a Server did since it began.
type Stats struct {
	Streams  int64 // open now
	Requests int64
	Failures int64 // requests that were answered with an error
	Refused  int64 // streams and uploads that exceeded a limit or broke the protocol
	Commits  int64
	Received int64 // bytes
	Sent     int64 // bytes
}

type counters struct {
	streams, requests, failures, refused, commits, received, sent atomic.Int64
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	return Stats{
		Streams: s.stats.streams.Load(), Requests: s.stats.requests.Load(), Failures: s.stats.failures.Load(),
		Refused: s.stats.refused.Load(), Commits: s.stats.commits.Load(),
		Received: s.stats.received.Load(), Sent: s.stats.sent.Load(),
	}
}
