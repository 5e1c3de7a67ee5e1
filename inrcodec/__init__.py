"""A neural image codec that fits one small network to one image.

    import inrcodec
    from PIL import Image

    data = inrcodec.encode(Image.open("photo.png"), bpp=0.2)
    image = inrcodec.decode(data)
    print(inrcodec.open(data).header)

Importing this package and reading or decoding files does not load PyTorch; encoding does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inrcodec.errors import (
    CodecError,
    FormatError,
    ImageError,
    MissingPackageError,
    TargetError,
)

if TYPE_CHECKING:
    from inrcodec.decoder import decode as decode
    from inrcodec.decoder import thumbnail as thumbnail
    from inrcodec.encoder import encode as encode
    from inrcodec.prc import open as open
    from inrcodec.progressive import ProgressiveDecoder as ProgressiveDecoder

__version__ = "0.1.0"
__all__ = [
    "CodecError",
    "FormatError",
    "ImageError",
    "MissingPackageError",
    "ProgressiveDecoder",
    "TargetError",
    "decode",
    "encode",
    "open",
    "thumbnail",
]

_HOMES = {
    "ProgressiveDecoder": "inrcodec.progressive",
    "decode": "inrcodec.decoder",
    "encode": "inrcodec.encoder",
    "open": "inrcodec.prc",
    "thumbnail": "inrcodec.decoder",
}


def __getattr__(name: str) -> Any:
    """Load the part that holds a public function when it is first used: torch takes seconds."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List the public names, also those that are not loaded yet."""
    return sorted({*globals(), *__all__})
