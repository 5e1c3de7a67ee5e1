"""The sine of kernels: a polynomial that vector instructions compute (Numba)."""

from __future__ import annotations

from typing import Any

import numpy as np

from inrcodec.kernels.compile import compiled

# Taylor coefficients of sine and cosine; on [-π/2, π/2] the remainders are below 4e-6 and 5e-7.
_S3, _S5, _S7, _S9 = (np.float32(v) for v in (-1 / 6, 1 / 120, -1 / 5040, 1 / 362880))
_C2, _C4, _C6, _C8, _C10 = (
    np.float32(v) for v in (-1 / 2, 1 / 24, -1 / 720, 1 / 40320, -1 / 3628800)
)
_ONE, _TWO, _HALF = np.float32(1), np.float32(2), np.float32(0.5)
_PI, _PER_TURN = np.float32(np.pi), np.float32(0.5 / np.pi)


@compiled
def sine_and_cosine(x: Any) -> Any:
    """Of x in radians, to 1e-5 where |x| is below 100; from those of half the angle."""
    turns = x * _PER_TURN
    half = (turns - np.floor(turns + _HALF)) * _PI
    q = half * half
    sine = half * (_ONE + q * (_S3 + q * (_S5 + q * (_S7 + q * _S9))))
    cosine = _ONE + q * (_C2 + q * (_C4 + q * (_C6 + q * (_C8 + q * _C10))))
    return _TWO * sine * cosine, _ONE - _TWO * sine * sine
