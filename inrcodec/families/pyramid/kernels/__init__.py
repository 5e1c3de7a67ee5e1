"""Kernels of the pyramid, for CPUs (Numba) and GPUs (Triton)."""
