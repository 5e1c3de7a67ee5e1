"""A computation that a GPU captures once and then replays, without its launches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

RUNS_BEFORE_CAPTURE = 2
"""Runs of a computation before its capture: in the first ones libraries make what they need."""


class Graph:
    """A function of tensors that stay where they are, as a CUDA graph.

    Outputs are always the same tensors, which the next call overwrites.
    """

    def __init__(self, function: Callable[[], tuple[Tensor, ...]], device: torch.device) -> None:
        """Prepare; the first call captures."""
        self._function, self._device = function, device
        self._graph: Any = None
        self._outputs: tuple[Tensor, ...] = ()

    def reset(self) -> None:
        """Capture again at the next call, since an input is another tensor now."""
        self._graph = None

    def __call__(self) -> tuple[Tensor, ...]:
        """The function's outputs; on a device without graphs it is simply called."""
        if self._device.type != "cuda":
            return self._function()
        if self._graph is None:
            self._capture()
        self._graph.replay()
        return self._outputs

    def _capture(self) -> None:
        stream = torch.cuda.Stream(self._device)
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(RUNS_BEFORE_CAPTURE):
                self._function()
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._outputs = self._function()
