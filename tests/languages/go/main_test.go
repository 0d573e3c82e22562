package main

import "testing"

func TestThreeCostThreeTimesAsMuch(t *testing.T) {
	if got := total(2, 3); got != 6 {
		t.Errorf("total(2, 3) = %d", got)
	}
}
