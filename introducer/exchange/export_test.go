package exchange

// NewRecord is newRecord for tests.
var NewRecord = newRecord

// What tests need of a record.
const (
	MaxRecord  = maxRecord
	RecordName = recordName
)
