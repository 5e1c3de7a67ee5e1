"""L²: one invertible transform that prunes and quantizes, a differentiable counter, and a budget.

After Lossy and Lossless post-training compression (Shi et al. 2023). The package takes any tensors,
and knows nothing of images:

- `transform`: transforms with a trained edge and step for each group, and their registry.
- `counter`: the differentiable histogram, and the bits of its symbols.
- `quantizer`: the training under a budget, in alternating phases.
- `coding`: groups of symbols as bytes, with integer frequencies.
- `rounding`: rounding in the metric of the curvature, which the codec's families use instead.
"""
