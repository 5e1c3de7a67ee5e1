"""The loss of a pyramid on another device, in PyTorch: what the fused kernels of the CPU compute.

On a GPU a step is captured once as a graph and then replayed, and its inner parts are Triton's
kernels where there are such. Latents and their optimizer are on the device; the few coefficients
and their optimizer stay in host memory. No sum depends on the order in which threads finish: the
same seed gives the same file on the same machine.
"""

from inrcodec.families.pyramid.fit.device.backend import DeviceProblem, device_problem

__all__ = ["DeviceProblem", "device_problem"]
