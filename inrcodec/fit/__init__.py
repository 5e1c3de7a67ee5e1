"""Optimisation: the fit of a network to one picture, its quantization, and rate control."""
