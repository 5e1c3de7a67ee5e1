"""L²: pruning and quantization of coefficients (Shi et al. 2023), in the metric of the curvature.

It takes any coefficients and knows nothing of images.
"""
