package s3

import (
	"fmt"
	"slices"
	"time"
)

// A Month is what was asked of the server in a month, by UTC, as far as this store was open.
type Month struct {
	Year  int        `json:"year"`
	Month time.Month `json:"month"`
	// Begun and Until are when the first and the last was counted. Time in which the store was closed lies between them as well.
	Begun  time.Time `json:"begun"`
	Until  time.Time `json:"until"`
	Put    Count     `json:"put"`
	Get    Count     `json:"get"`
	Head   Count     `json:"head"`
	List   Count     `json:"list"`
	Delete Count     `json:"delete"`
	// Kept is how many bytes were kept, on average from Begun to Until; Stored is how many are kept at its end.
	Kept   int64 `json:"kept"`
	Stored int64 `json:"stored"`
}

// Prices are what the server's owner charges, in any one currency. A price of zero is none.
type Prices struct {
	Writes float64 `json:"writes"` // a thousand of Put and List
	Reads  float64 `json:"reads"`  // a thousand of Get and Head
	Kept   float64 `json:"kept"`   // a GB (10⁹ bytes) kept for a month
	Out    float64 `json:"out"`    // a GB received
}

// A Cost is money, in the currency of the prices.
type Cost struct {
	Requests float64 `json:"requests"`
	Kept     float64 `json:"kept"`
	Out      float64 `json:"out"`
}

// Total returns all of it.
func (c Cost) Total() float64 { return c.Requests + c.Kept + c.Out }

const gb = 1e9

// Cost returns what the month has cost from Begun to Until.
func (m Month) Cost(p Prices) Cost {
	return Cost{
		Requests: (p.Writes*float64(m.Put.Requests+m.List.Requests) + p.Reads*float64(m.Get.Requests+m.Head.Requests)) / 1000,
		Kept:     p.Kept * float64(m.Kept) / gb * m.part(m.Begun, m.Until),
		Out:      p.Out * float64(m.Get.Received) / gb,
	}
}

// foretoldAfter is how long a month must have been counted before more is said of its end than what is kept.
const foretoldAfter = 24 * time.Hour

// Expected returns what the whole month costs if it goes on as it has begun, with what is kept now. What happened in less than a day
// says nothing of a month: only what has been asked is counted then, once.
func (m Month) Expected(p Prices) Cost {
	c := m.Cost(p)
	c.Kept += p.Kept * float64(m.Stored) / gb * m.part(m.Until, m.end())
	if counted := m.Until.Sub(m.Begun); counted >= foretoldAfter {
		more := 1 + float64(m.end().Sub(m.Until))/float64(counted)
		c.Requests, c.Out = c.Requests*more, c.Out*more
	}
	return c
}

func (m Month) begin() time.Time { return time.Date(m.Year, m.Month, 1, 0, 0, 0, 0, time.UTC) }
func (m Month) end() time.Time   { return m.begin().AddDate(0, 1, 0) }

// part returns which part of the month lies between two times.
func (m Month) part(from, to time.Time) float64 {
	return float64(to.Sub(from)) / float64(m.end().Sub(m.begin()))
}

// A monthRecord is a Month in the index.
type monthRecord struct {
	_        struct{} `cbor:",toarray"`
	Month    int64    // since the year 0
	Begun    int64    // Unix seconds
	Until    int64
	ByteTime int64 // GB seconds that were kept, in thousandths
	Stored   int64
	Counts   []countRecord // in the order of the kinds
}

type countRecord struct {
	_                                struct{} `cbor:",toarray"`
	Requests, Failed, Sent, Received int64
}

var monthsKey = []byte("months")

const monthsKept = 13

func monthOf(t time.Time) int64 { return int64(t.UTC().Year())*12 + int64(t.UTC().Month()) - 1 }

func (r *monthRecord) month() Month {
	m := Month{
		Year: int(r.Month / 12), Month: time.Month(r.Month%12 + 1), Begun: time.Unix(r.Begun, 0).UTC(), Until: time.Unix(r.Until, 0).UTC(), Stored: r.Stored, Kept: r.Stored,
	}
	if seconds := r.Until - r.Begun; seconds > 0 {
		m.Kept = int64(float64(r.ByteTime) / 1000 / float64(seconds) * gb)
	}
	for kind, into := range []*Count{&m.Put, &m.Get, &m.Head, &m.List, &m.Delete} {
		if kind < len(r.Counts) {
			c := r.Counts[kind]
			*into = Count{c.Requests, c.Failed, c.Sent, c.Received}
		}
	}
	return m
}

// add counts what was asked since the last time.
func (r *monthRecord) add(asked [kinds]Count) {
	for len(r.Counts) < kinds {
		r.Counts = append(r.Counts, countRecord{})
	}
	for kind, c := range asked {
		into := &r.Counts[kind]
		into.Requests, into.Failed = into.Requests+c.Requests, into.Failed+c.Failed
		into.Sent, into.Received = into.Sent+c.Sent, into.Received+c.Received
	}
}

// Months returns what was asked of the server in this month and the twelve before, the newest first.
func (s *Store) Months() ([]Month, error) {
	records, err := s.countMonths(time.Now())
	if err != nil {
		return nil, fmt.Errorf("months: %w", err)
	}
	months := make([]Month, len(records))
	for i := range records {
		months[len(records)-1-i] = records[i].month()
	}
	return months, nil
}

// countMonths adds to the months what was asked since the last time, and returns them.
func (s *Store) countMonths(now time.Time) (months []monthRecord, err error) {
	s.counting.Lock()
	defer s.counting.Unlock()
	asked := s.bucket.meter.take()
	stored := s.index.held().stored
	err = s.index.update(func(c *change) error {
		months = nil
		if _, err := get(c.tx, metaBucket, monthsKey, &months); err != nil {
			s.log.Warn("what was asked of the bucket in this month is counted anew", "reason", err)
			months = nil
		}
		months = addMonth(months, asked, stored, now)
		return c.tx.Bucket(metaBucket).Put(monthsKey, seal(months))
	}, nil)
	if err != nil {
		s.bucket.meter.giveBack(asked)
	}
	return months, err
}

// addMonth returns the months with what was asked until now. A clock that goes back adds to the newest month.
func addMonth(months []monthRecord, asked [kinds]Count, stored int64, now time.Time) []monthRecord {
	this := monthOf(now)
	if len(months) == 0 || months[len(months)-1].Month < this {
		months = append(months, monthRecord{Month: this, Begun: now.Unix(), Until: now.Unix(), Stored: stored})
	}
	last := &months[len(months)-1]
	if passed := now.Unix() - last.Until; passed > 0 {
		last.ByteTime += int64(float64(last.Stored+stored) / 2 / gb * float64(passed) * 1000)
		last.Until = now.Unix()
	}
	last.Stored = stored
	last.add(asked)
	return slices.Clone(months[max(0, len(months)-monthsKept):])
}

// countEvery is how often what was asked is written down; what was asked in the last minute before a crash is forgotten.
const countEvery = time.Minute

// keepCounting writes down what is asked until the store is closed.
func (s *Store) keepCounting() {
	ticker := time.NewTicker(countEvery)
	defer ticker.Stop()
	for {
		select {
		case <-s.life.Done():
			return
		case <-ticker.C:
		}
		if _, err := s.countMonths(time.Now()); err != nil {
			s.log.Warn("what was asked of the bucket could not be written down", "error", err)
		}
	}
}
