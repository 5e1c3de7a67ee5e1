"""What each default is worth: one of them changed at a time, everything else as it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from inrcodec import encoder
from inrcodec.fit import curvature, schedule, train
from inrcodec.inr import siren


def _plain(matrix: np.ndarray) -> np.ndarray:
    """The factor of a curvature that knows no ties between coefficients."""
    return np.diag(np.sqrt(matrix.diagonal()))


def _without_l2() -> dict[int, schedule.Effort]:
    return {level: replace(effort, l2_steps=0) for level, effort in schedule.EFFORTS.items()}


@dataclass(frozen=True)
class Variation:
    """A name, and the changed attribute of a module; none is the codec as it is."""

    name: str
    module: Any = None
    attribute: str = ""
    value: Any = None

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The codec with the change."""
        if self.module is None:
            yield
            return
        before = getattr(self.module, self.attribute)
        setattr(self.module, self.attribute, self.value)
        try:
            yield
        finally:
            setattr(self.module, self.attribute, before)


VARIATIONS = (
    Variation("defaults"),
    Variation("no compensation: plain noise and rounding", curvature, "factorize", _plain),
    Variation("no L2 training", encoder, "EFFORTS", _without_l2()),
    Variation("4 sine layers", encoder, "DEPTH", 4),
    Variation("6 sine layers", encoder, "DEPTH", 6),
    Variation("network for 4.5 bits a coefficient", encoder, "BITS_PER_COEFFICIENT", 4.5),
    Variation("network for 5.5 bits a coefficient", encoder, "BITS_PER_COEFFICIENT", 5.5),
    Variation("first omega 20", encoder, "OMEGA_FIRST", 20.0),
    Variation("first omega 45", encoder, "OMEGA_FIRST", 45.0),
    Variation("hidden omega 30", encoder, "OMEGA_HIDDEN", 30.0),
    Variation("bias scale 1", siren, "BIAS_SCALE", 1.0),
    Variation("bias scale 12", siren, "BIAS_SCALE", 12.0),
    Variation("damping tenfold", curvature, "DAMPING", curvature.DAMPING * 10),
    Variation("fit rate 0.1", train, "FIT_RATE", 0.1),
    Variation("L2 rate double", train, "L2_RATE", train.L2_RATE * 2),
)
