package localtree

const nonBlocking = 0
