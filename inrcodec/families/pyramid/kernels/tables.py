"""What the context network's kernels read of a plane."""

from __future__ import annotations

from typing import Any, NamedTuple


class PlaneTables(NamedTuple):
    """A latent plane, and where its latents find their context in two planes coded before it.

    Planes are padded by `latents.BORDER` above, to the left and to the right; rows and columns of
    the near and the far plane count from the padded corner. A plane without a near (far) plane has
    an array of one zero in its place.

    Attributes:
        plane: (h + BORDER, w + 2 BORDER), the latents.
        near: the near plane, padded.
        near_rows: (h, 2), row in `near` of the value at the latent, and of its nearer neighbour.
        near_cols: (w, 2), column in `near` of the value, and of its nearer neighbour.
        far: the far plane, padded.
        far_rows: (h, 2), row in `far`; only the first of each pair is read. `rate_rows` takes
            these as (h,).
        far_cols: (w, 2) or (w,), column in `far`, with the shape rules of `far_rows`.
        level: the plane has 1/2^level of the picture's resolution.
        later: number of planes of the same level that come after it.
    """

    plane: Any
    near: Any
    near_rows: Any
    near_cols: Any
    far: Any
    far_rows: Any
    far_cols: Any
    level: Any
    later: Any
