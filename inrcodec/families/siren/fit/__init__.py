"""The fit of a SIREN to one picture, and its rounding under a budget."""
