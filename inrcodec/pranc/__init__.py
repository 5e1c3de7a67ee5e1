"""Networks as combinations of pseudo-random basis networks (PRANC, Nooralinejad et al. 2022).

A module's parameters are `θ = θ₀ + S·B·α`: a seed fixes θ₀ and the basis B, and only the
coefficients α are trained and stored.
"""
