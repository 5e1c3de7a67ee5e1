"""Loss and gradient of a SIREN on the CPU, fused, for the training steps of the fit.

Matrix products are PyTorch's, everything else is one pass over memory (`kernels.elementwise`).
Pixels are processed in chunks that stay in the cache, and each thread has chunks of its own: a step
takes a third to a quarter of autograd's time on two cores (`python -m eval speed`). The reference
is `SirenNetwork.evaluate` with autograd.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inrcodec.families.siren.kernels import elementwise
from inrcodec.families.siren.shape import Siren
from inrcodec.kernels.threads import thread_pool

CHUNK = 4096
"""Maximum number of pixels that are processed together."""

Samples = NDArray[np.float32]


class _Workspace:
    """Activations, slopes and gradients of `n` pixels, units × pixels."""

    def __init__(self, siren: Siren, precision: torch.dtype, n: int) -> None:
        w = siren.width
        # The row below the sines is the constant 1 that the bias is multiplied by.
        self.sine = [torch.ones(w + 1, n, dtype=precision) for _ in range(siren.depth)]
        self.cosine = [torch.empty(w, n, dtype=precision) for _ in range(siren.depth)]
        self.buffers = [torch.empty(w, n, dtype=precision) for _ in range(2)]
        self.residual = np.empty((siren.outputs, n), np.float32)
        self.sine_arrays = [as_stored(sine)[:w] for sine in self.sine]
        self.cosine_arrays = [as_stored(cosine) for cosine in self.cosine]


class SirenStep:
    """Mean squared error of a SIREN over pixels, and its gradient by every matrix.

    The last matrix of a network in stages has the outputs of all stages, one below the other.

    The order of sums, and so the rounding of results, depends on the number of threads.
    """

    def __init__(
        self,
        siren: Siren,
        precision: torch.dtype,
        threads: int | None = None,
        chunk: int = CHUNK,
    ) -> None:
        """A step of some network.

        Args:
            siren: the network's shape.
            precision: float32 or bfloat16, of the layers between the first and the last. Sums and
                the other two layers are float32 in both cases.
            threads: maximum number of threads; by default as many as PyTorch uses.
            chunk: maximum number of pixels that a thread processes together.
        """
        self._siren = siren
        self._precision = precision
        self._omegas = [siren.omega_first] + [siren.omega_hidden] * (siren.depth - 1) + [1.0]
        self._threads = torch.get_num_threads() if threads is None else threads
        self._chunk = chunk
        self._local = threading.local()

    @torch.no_grad()
    def __call__(
        self,
        matrices: Sequence[Tensor],
        xy: Samples,
        targets: Samples,
        pixels: NDArray[np.int64],
        start: int = 0,
    ) -> tuple[float, list[Tensor]]:
        """The error over `pixels` (N,), and its gradients (rows, cols) by `matrices[start:]`.

        `xy` (2, M) are the coordinates of the whole picture, `targets` (outputs, M) its samples,
        `matrices` those of `SirenNetwork.evaluate`; all are float32 on the CPU.
        """
        thetas = [m.float() * omega for m, omega in zip(matrices, self._omegas, strict=True)]
        lowered = [theta.to(self._precision) for theta in thetas]
        # With a strided matrix, the product would be a third slower.
        back = [theta[:, :-1].T.contiguous() for theta in lowered]
        threads = max(1, min(self._threads, len(pixels) // 256))
        chunks = -(-len(pixels) // (self._chunk * threads)) * threads
        parts = np.array_split(pixels, chunks)

        def work(index: int) -> tuple[float, list[Tensor]]:
            own = parts[index::threads]
            return self._chunks(thetas, lowered, back, xy, targets, own, start)

        if threads == 1:
            results = [work(0)]
        else:
            results = list(thread_pool(self._threads).map(work, range(threads)))
        samples = len(pixels) * self._siren.outputs
        loss = sum(result[0] for result in results) / samples
        gradients = []
        for index, omega in list(enumerate(self._omegas))[start:]:
            total = torch.stack([result[1][index] for result in results]).sum(0)
            gradients.append(total * (2 * omega / samples))
        return loss, gradients

    def _chunks(
        self,
        thetas: list[Tensor],
        lowered: list[Tensor],
        back: list[Tensor],
        xy: Samples,
        targets: Samples,
        parts: list[NDArray[np.int64]],
        start: int,
    ) -> tuple[float, list[Tensor]]:
        """Squared error and half its gradients by the thetas, summed over parts of the pixels.

        `back` are the transposed weights. Gradients by the layers before `start` are zero.
        """
        depth = self._siren.depth
        gradients = [torch.zeros_like(theta) for theta in thetas]
        first, last = thetas[0].numpy(), thetas[-1].numpy()
        first_gradient, last_gradient = gradients[0].numpy(), gradients[-1].numpy()
        loss = 0.0
        for pixels in parts:
            at = xy.take(pixels, axis=1)
            space = self._workspace(len(pixels))
            sine, cosine = space.sine_arrays, space.cosine_arrays
            g, z = space.buffers
            elementwise.first_layer(first, at, sine[0], cosine[0])
            for i in range(1, depth):
                torch.mm(lowered[i], space.sine[i - 1], out=z)
                elementwise.sine_layer(as_stored(z), sine[i], cosine[i])
            samples = targets.take(pixels, axis=1)
            loss += float(
                elementwise.last_layer(
                    last, sine[-1], cosine[-1], samples, space.residual, as_stored(g), last_gradient
                )
            )
            # In this loop, g is the gradient by the arguments of the sines of layer i.
            for i in range(depth - 1, max(0, start - 1), -1):
                gradients[i] += torch.mm(g, space.sine[i - 1].T)
                if i == start:
                    break
                torch.mm(back[i], g, out=z)
                g, z = z, g
                if i > 1:
                    elementwise.through_sine(as_stored(g), cosine[i - 1])
            if start > 0:
                continue
            if depth == 1:
                # `last_layer` has already multiplied g by the cosines.
                space.cosine[0].fill_(1)
            elementwise.first_gradient(as_stored(g), cosine[0], at, first_gradient)
        return loss, gradients

    def _workspace(self, n: int) -> _Workspace:
        """The thread's own workspace for `n` pixels; chunks have at most two sizes."""
        spaces: dict[int, _Workspace] = self._local.__dict__.setdefault("spaces", {})
        if n not in spaces:
            if len(spaces) > 1:
                spaces.clear()
            spaces[n] = _Workspace(self._siren, self._precision, n)
        return spaces[n]


def as_stored(tensor: Tensor) -> NDArray[np.uint16] | NDArray[np.float32]:
    """A view of a tensor's memory as `kernels.elementwise` takes it; bfloat16 as uint16."""
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.view(torch.uint16)
    array: NDArray[np.float32] = tensor.numpy()
    return array
