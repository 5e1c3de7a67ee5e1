"""Sine and cosine as polynomials that vector instructions compute (Numba).

The definition is `kernels.reference.sine_and_cosine`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from inrcodec.kernels.compile import compiled
from inrcodec.kernels.reference import COSINE, SINE

_S3, _S5, _S7, _S9 = (np.float32(v) for v in SINE)
_C2, _C4, _C6, _C8, _C10 = (np.float32(v) for v in COSINE)
_ONE, _TWO, _HALF = np.float32(1), np.float32(2), np.float32(0.5)
_PI, _PER_TURN = np.float32(np.pi), np.float32(0.5 / np.pi)


@compiled
def sine_and_cosine(x: Any) -> Any:
    """Sine and cosine of a float32 x in radians, to 1e-5 for |x| < 100."""
    turns = x * _PER_TURN
    half = (turns - np.floor(turns + _HALF)) * _PI
    q = half * half
    sine = half * (_ONE + q * (_S3 + q * (_S5 + q * (_S7 + q * _S9))))
    cosine = _ONE + q * (_C2 + q * (_C4 + q * (_C6 + q * (_C8 + q * _C10))))
    return _TWO * sine * cosine, _ONE - _TWO * sine * sine
