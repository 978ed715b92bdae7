package s3

import "context"

// WithPack returns settings with which only shares up to a size are packed.
func (c Config) WithPack(limit int64) Config {
	c.pack = limit
	return c
}

// WithPart returns settings with which parts have so many bytes.
func (c Config) WithPart(size int64) Config {
	c.part = size
	return c
}

// Refresh refreshes the lock as the store does every minute.
func (s *Store) Refresh(ctx context.Context) error { return s.lock.refresh(ctx) }
