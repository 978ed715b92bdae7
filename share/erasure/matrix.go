package erasure

// GF(2^8) with the polynomial x^8+x^4+x^3+x^2+1 (0x11d) and the generator 2, used to derive the matrix only; the
// library does the arithmetic on data.
var exp, log = fieldTables()

func fieldTables() (exp [510]byte, log [256]byte) {
	x := 1
	for i := range 255 {
		exp[i], exp[i+255] = byte(x), byte(x)
		log[x] = byte(i)
		if x <<= 1; x > 255 {
			x ^= 0x11d
		}
	}
	return exp, log
}

func mul(a, b byte) byte {
	if a == 0 || b == 0 {
		return 0
	}
	return exp[int(log[a])+int(log[b])]
}

func inverse(a byte) byte { return exp[255-int(log[a])] }

// parityRows returns rows k..N-1 of zfec's generator matrix V · inv(V[0..k-1]), where V[0] = [1,0,…,0] and
// V[r][c] = 2^((r-1)·c) for r ≥ 1.
func parityRows(needed, total int) [][]byte {
	if needed == total {
		return [][]byte{} // not worth an inversion
	}
	v := make([][]byte, total)
	for r := range v {
		v[r] = make([]byte, needed)
		v[r][0] = 1
		for c := 1; c < needed && r > 0; c++ {
			v[r][c] = exp[(r-1)*c%255]
		}
	}
	top := invert(v[:needed])
	rows := make([][]byte, total-needed)
	for i := range rows {
		rows[i] = make([]byte, needed)
		for c := range needed {
			for m := range needed {
				rows[i][c] ^= mul(v[needed+i][m], top[m][c])
			}
		}
	}
	return rows
}

// invert returns the inverse of a square matrix by Gauss-Jordan elimination. Every square matrix made of distinct
// Vandermonde rows has one.
func invert(m [][]byte) [][]byte {
	n := len(m)
	a, inv := make([][]byte, n), make([][]byte, n)
	for r := range n {
		a[r] = append([]byte(nil), m[r]...)
		inv[r] = make([]byte, n)
		inv[r][r] = 1
	}
	for c := range n {
		pivot := c
		for a[pivot][c] == 0 {
			pivot++
		}
		a[c], a[pivot] = a[pivot], a[c]
		inv[c], inv[pivot] = inv[pivot], inv[c]
		scale := inverse(a[c][c])
		scaleRow(a[c], scale)
		scaleRow(inv[c], scale)
		for r := range n {
			if factor := a[r][c]; r != c && factor != 0 {
				addScaled(a[r], a[c], factor)
				addScaled(inv[r], inv[c], factor)
			}
		}
	}
	return inv
}

func scaleRow(row []byte, factor byte) {
	for i := range row {
		row[i] = mul(row[i], factor)
	}
}

func addScaled(dst, src []byte, factor byte) {
	for i := range dst {
		dst[i] ^= mul(src[i], factor)
	}
}
