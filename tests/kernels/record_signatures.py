"""Write `inrcodec/kernels/signatures.json`: the kernels that each task calls, with their types.

    python tests/kernels/record_signatures.py

To be run after a change of what a kernel is called with; `test_compile_groups.py` says when.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def photograph(side: int, mode: str) -> Image.Image:
    """Waves and noise, so that a file of any size can be filled."""
    noise = np.random.default_rng(0).integers(0, 60, (side, side, 4))
    waves = 80 * (1 + np.sin(np.arange(side)[:, None, None] / 5 + np.arange(4)))
    return Image.fromarray((waves + noise).astype(np.uint8), "RGBA").convert(mode)


def encode_pyramid() -> None:
    """Files with and without filters, a second layer, several sets of planes and a wanted PSNR."""
    encode("RGB", max_bytes=600, effort=1, family="pyramid")
    encode("L", max_bytes=600, effort=1, family="pyramid")
    encode("RGBA", psnr=20, effort=1, family="pyramid")
    encode("RGB", max_bytes=3000, effort=2, family="pyramid")
    encode("RGB", max_bytes=3000, effort=1, family="pyramid", progressive=True)


def encode_siren() -> None:
    """A file of one stage and one of several, of either precision."""
    encode("RGB", max_bytes=300, effort=1, family="siren")
    encode("L", max_bytes=500, effort=1, family="siren", progressive=True)
    encode("RGB", max_bytes=300, effort=1, family="siren", order="contribution")


def encode(mode: str, **options: Any) -> None:
    """Encode a small picture, and decode it, as the command line does to measure it."""
    import inrcodec

    inrcodec.decode(inrcodec.encode(photograph(48, mode), device="cpu", **options))


def decode_pyramid() -> None:
    """Files with and without filters, whole, cut short, small, and a part of one."""
    import inrcodec

    golden = Path(__file__).parents[1] / "golden"
    files = [path.read_bytes() for path in sorted(golden.glob("*.prc"))]
    for data in files:
        if inrcodec.open(data).latents:
            inrcodec.decode(data)
            inrcodec.decode(data[: len(data) * 3 // 4])
            inrcodec.decode(data, scale=1.5, region=(1, 1, 5, 7))
            inrcodec.thumbnail(data, side=8)


TASKS: dict[str, Callable[[], None]] = {
    "decode-pyramid": decode_pyramid,
    "encode-pyramid": encode_pyramid,
    "encode-siren": encode_siren,
}


def used(task: str) -> list[Any]:
    """The kernels that a task calls, those with the most machine code first; in a new process."""
    command = [sys.executable, __file__, task]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=True)
    kernels: list[Any] = json.loads(result.stdout)
    return kernels


def main() -> None:
    if len(sys.argv) > 1:
        from inrcodec.kernels import cache

        TASKS[sys.argv[1]]()
        size = {json.dumps(k): cache.path_of(*k).stat().st_size for k in cache.used}
        print(json.dumps(sorted(cache.used, key=lambda k: (-size[json.dumps(k)], k[0]))))
        return
    from inrcodec.kernels import warm

    with tempfile.TemporaryDirectory() as folder:
        os.environ["INRCODEC_CACHE"] = folder
        tasks = {task: used(task) for task in TASKS}
    lines = (
        f" {json.dumps(task)}: [\n  " + ",\n  ".join(map(json.dumps, kernels)) + "\n ]"
        for task, kernels in tasks.items()
    )
    path = Path(warm.__file__).with_name("signatures.json")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf8")


if __name__ == "__main__":
    main()
