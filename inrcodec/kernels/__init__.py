"""Compute kernels for the CPU; each has a plain PyTorch reference that the tests hold it to."""
