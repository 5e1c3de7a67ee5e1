"""The loss of a pyramid on the CPU: fused kernels, each thread on its own band of rows."""
