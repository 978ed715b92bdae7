// Package spelling finds what somebody meant who mistyped a word of a known list.
package spelling

// Distance is how many characters have to be changed, added, left out or swapped with the next one to make b of a. It counts bytes.
func Distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// Nearest returns the first of the known words with the smallest distance to the typed one, and that distance; with no known words
// an empty one, and how long the typed one is.
func Nearest(typed string, known []string) (word string, distance int) {
	distance = len(typed)
	for i, k := range known {
		if d := Distance(typed, k); i == 0 || d < distance {
			word, distance = k, d
		}
	}
	return word, distance
}
