package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// A Price is an amount of money in a currency that is told elsewhere.
type Price float64

// maxPrice is far beyond what anybody asks.
const maxPrice = 1e6

// UnmarshalText reads a number such as 0.023.
func (p *Price) UnmarshalText(text []byte) error {
	value, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !(value >= 0 && value <= maxPrice) {
		return fmt.Errorf("%q: want a price such as 0.023", text)
	}
	*p = Price(value)
	return nil
}

// MarshalText returns what UnmarshalText reads.
func (p Price) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// String returns the number, without an exponent.
func (p Price) String() string { return strconv.FormatFloat(float64(p), 'f', -1, 64) }

// Priced reports whether any price is set.
func (b Bucket) Priced() bool {
	return b.PriceWrites != 0 || b.PriceReads != 0 || b.PriceKept != 0 || b.PriceOut != 0
}

func (b Bucket) problems() []error {
	var problems []error
	if b.Scrub < 0 || b.ScrubDay < 0 || b.ScrubRequests < 0 {
		problems = append(problems, errors.New("bucket.scrub, bucket.scrub_day, bucket.scrub_requests: want no negative number"))
	}
	if len(b.Currency) > 8 || strings.ContainsFunc(b.Currency, func(r rune) bool { return !unicode.IsPrint(r) || r == ' ' }) {
		problems = append(problems, fmt.Errorf("bucket.currency: %.20q: want a short text such as EUR", b.Currency))
	}
	return problems
}
