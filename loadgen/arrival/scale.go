package arrival

import "time"

// Factor multiplies a rate for a while.
type Factor struct {
	Duration time.Duration
	By       float64
}

// Scale multiplies a rate by factors that follow one after the other from its start
// on; after the last, its factor holds for ever. It is how a phase changes what a
// class sends. What it is given stays as it is.
func Scale(rate []Piece, by []Factor) []Piece {
	if len(rate) == 0 || len(by) == 0 {
		return rate
	}
	var out []Piece
	factor, later := by[0], by[1:]
	add := func(piece Piece) {
		out = append(out, Piece{Duration: piece.Duration, From: piece.From * factor.By, To: piece.To * factor.By})
	}
	for _, piece := range rate {
		for len(later) > 0 && factor.Duration < piece.Duration {
			first := Piece{Duration: factor.Duration, From: piece.From}
			first.To = piece.From + piece.slope()*first.Duration.Seconds()
			if first.Duration > 0 {
				add(first)
			}
			piece.Duration, piece.From = piece.Duration-first.Duration, first.To
			factor, later = later[0], later[1:]
		}
		if piece.Duration > 0 {
			add(piece)
		}
		factor.Duration -= piece.Duration // of the last it is not looked at
	}
	end := rate[len(rate)-1].To
	for len(later) > 0 {
		if factor.Duration > 0 {
			add(Piece{Duration: factor.Duration, From: end, To: end})
		}
		factor, later = later[0], later[1:]
	}
	add(Piece{From: end, To: end})
	return out
}
