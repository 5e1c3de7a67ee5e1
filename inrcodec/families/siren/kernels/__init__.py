"""Kernels of the SIREN's training step; the reference is `SirenNetwork`."""
