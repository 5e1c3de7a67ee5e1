"""What the public sets consist of: in one JSON file a set, address, sums and terms of each file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

SETS = ("kodak", "chest_xray")

FOLDER = Path(__file__).parent
"""Where the manifests lie, as NAME.json."""


@dataclass(frozen=True)
class Source:
    """Who publishes files, and where.

    Attributes:
        home: page of the publisher.
        citation: whom to cite.
        identical: the files at the public addresses are byte for byte those of the manifest.
        note: what else decides whether a file can be fetched, part of a sentence; None where
            nothing does.
    """

    home: str
    citation: str
    identical: bool
    note: str | None


@dataclass(frozen=True)
class File:
    """One picture of a set.

    Attributes:
        name: the file's name without .png.
        licence: terms of use.
        url: public address; None where the file is not published alone.
        bytes: size of the file.
        width, height: pixels.
        mode: as Pillow names it.
        sha256: of the file, hex.
        pixels: `datasets.fingerprint` of the picture.
    """

    name: str
    source: Source
    licence: str
    url: str | None
    bytes: int
    width: int
    height: int
    mode: str
    sha256: str
    pixels: str


def read(name: str) -> tuple[File, ...]:
    """Give the files of one of `SETS`, in the set's order.

    Raises:
        OSError: no such manifest.
    """
    manifest = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    sources = {key: Source(**source) for key, source in manifest["sources"].items()}
    return tuple(File(**{**file, "source": sources[file["source"]]}) for file in manifest["files"])
