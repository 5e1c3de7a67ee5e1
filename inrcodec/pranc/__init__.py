"""Networks as combinations of pseudo-random basis networks (PRANC, Nooralinejad et al. 2022).

The parameters of a network are `θ = θ₀ + S·B·α`: a seed fixes θ₀ and the basis B, and only the
coefficients α are trained and stored.

`philox`, `layout`, `bases` and `blocks` are the reference in plain NumPy, which decoders use; they
import no torch. `torch_bases`, `torch_blocks` and `reparametrization` are the same functions in
PyTorch, differentiable, for training any module, with a basis for each layer or one for the whole
network; `windows` trains some of many coefficients at a time.
"""
