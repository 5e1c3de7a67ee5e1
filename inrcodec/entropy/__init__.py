"""Entropy coding of quantized coefficients: the symbol model of a layer, and the range coder.

Everything that decides a bit is integer arithmetic, specified in `docs/format.md`, so that files
decode on any machine.
"""
