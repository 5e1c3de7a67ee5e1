"""The training of a pyramid on one picture under a budget, and its rounding."""
