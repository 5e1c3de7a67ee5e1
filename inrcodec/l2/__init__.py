"""L²: one weight transform for pruning and quantization, a differentiable counter, a rate budget.

After Lossy and Lossless post-training compression (Shi et al. 2023). It takes any tensors and knows
nothing of images.
"""
