"""Test pictures: public sets, found on disk or fetched from their home, and any folder of images.

A set's pictures lie under a root (`locate`), in a folder with the set's name. The manifests
kodak.json and chest_xray.json give address, sums and terms of every file:

- `kodak`: the 24 Kodak images, RGB, 768x512 or 512x768.
- `chest_xray`: twelve radiographs of the Hannover COVID-19 image repository (8-bit grey, 640x524)
  and two of NIH ChestX-ray14 (512x512). The twelve may be reduced copies of the public files, which
  were not compared with them: a download is taken where its file or its pixels agree with the
  manifest. The two are reduced copies and cannot be fetched. Both need a local copy otherwise.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import os
import urllib.error
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from datasets import download, manifest
from datasets.errors import DataError
from datasets.manifest import SETS, File

__all__ = ["SETS", "DataError", "Dataset", "dataset", "fetch", "fingerprint", "locate"]

Report = Callable[[str, int, int | None], None]
"""Takes the name of a picture that is being fetched, the bytes that are there, and the total."""


@dataclass(frozen=True)
class Dataset:
    """Pictures under names.

    Attributes:
        name: of the set or the folder.
        images: names of the pictures, in a fixed order.
    """

    name: str
    images: tuple[str, ...]
    _read: Callable[[str], Image.Image] = field(repr=False)

    def load(self, image: str) -> Image.Image:
        """Read a picture; one of a public set is fetched where it is absent.

        Raises:
            KeyError: no such name.
            DataError: damaged, not the published one, or absent and not to be fetched.
        """
        if image not in self.images:
            raise KeyError(image)
        return self._read(image)


def dataset(spec: str, root: str | os.PathLike[str] | None = None) -> Dataset:
    """Give one of `SETS`, or the images of a folder, sorted, under their file names.

    Nothing is read yet. `root` holds the public sets, as for `locate`.

    Raises:
        DataError: neither a set nor a folder, or a folder without images.
    """
    if spec in SETS:
        files = {file.name: file for file in manifest.read(spec)}
        return Dataset(spec, tuple(files), partial(_one_of, files, locate(root) / spec))
    folder = Path(spec)
    if not folder.is_dir():
        raise DataError(f"{spec} is neither a folder of images nor one of the sets {_known()}")
    Image.init()
    readable = {end for end, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    try:
        images = sorted(
            path.name
            for path in folder.iterdir()
            if path.suffix.lower() in readable and path.is_file()
        )
    except OSError as error:
        raise DataError(f"{spec} cannot be read: {error.strerror}") from error
    if not images:
        raise DataError(f"{spec} has no images: give a folder of PNG, JPEG or other image files")
    return Dataset(folder.absolute().name, tuple(images), partial(_in_folder, folder))


def fetch(
    name: str, root: str | os.PathLike[str] | None = None, report: Report | None = None
) -> Path:
    """Fetch what is absent of one of `SETS`, verify what is there, and give the folder.

    What was interrupted goes on where it stopped when it is called again.

    Raises:
        DataError: no such set, or as for `Dataset.load`.
    """
    if name not in SETS:
        raise DataError(f"{name} is not one of the sets {_known()}")
    folder = locate(root) / name
    for file in manifest.read(name):
        _published(file, folder, report)
    return folder


def locate(root: str | os.PathLike[str] | None = None) -> Path:
    """Give the folder that holds the sets.

    It is `root`; without one, the environment variable INRCODEC_DATA; else the folder shared/data
    beside the checkout if there is one; else ~/.cache/inrcodec.
    """
    given = root or os.environ.get("INRCODEC_DATA")
    if given:
        return Path(given)
    sibling = Path(__file__).resolve().parents[2] / "shared" / "data"
    return sibling if sibling.is_dir() else Path.home() / ".cache" / "inrcodec"


def fingerprint(image: Image.Image) -> str:
    """Give the SHA-256 (hex) of mode, size and samples: the same however the file is compressed."""
    head = f"{image.mode} {image.width}x{image.height} "
    return hashlib.sha256(head.encode() + image.tobytes()).hexdigest()


def _known() -> str:
    return " and ".join(SETS)


def _one_of(files: dict[str, File], folder: Path, image: str) -> Image.Image:
    return _published(files[image], folder)


def _in_folder(folder: Path, image: str) -> Image.Image:
    return _decoded(folder / image)


def _published(file: File, folder: Path, report: Report | None = None) -> Image.Image:
    path = folder / f"{file.name}.png"
    if not path.exists():
        _fetch(file, path, report)
    image = _decoded(path)
    if fingerprint(image) != file.pixels:
        raise DataError(f"{path} is not the published picture: remove it or replace it")
    return image


def _decoded(path: Path) -> Image.Image:
    try:
        # From memory, as Pillow would hold the file open and read it late.
        image = Image.open(io.BytesIO(path.read_bytes()))
        image.load()
    except UnidentifiedImageError as error:
        raise DataError(f"{path} is damaged or not an image: remove it or replace it") from error
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{path} cannot be read ({reason}): remove it or replace it") from error
    except Exception as error:  # Pillow's readers raise errors of any type on damaged files.
        raise DataError(f"{path} is damaged ({error}): remove it or replace it") from error
    return image


def _fetch(file: File, path: Path, report: Report | None) -> None:
    local = (
        f"name a folder that holds {path.parent.name}/{path.name} with --data or in INRCODEC_DATA"
    )
    if file.url is None:
        raise DataError(f"{path} is absent and not published alone ({file.source.note}): {local}")
    part = path.with_name(f"{path.name}.part")
    size = file.bytes if file.source.identical else None
    try:
        with download.alone(path.parent):
            if path.exists():
                return
            download.to_file(file.url, part, size, partial(report, file.name) if report else None)
            if _accepted(file, part.read_bytes()):
                part.replace(path)
                return
            part.unlink()
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if type(error) is urllib.error.URLError else error
        raise DataError(
            f"{path} is absent and {file.url} cannot be fetched ({reason}): try again, or {local}"
        ) from error
    if file.source.identical:
        raise DataError(
            f"{file.url} came with another SHA-256 than the published file and was deleted: "
            f"try again, or {local}"
        )
    raise DataError(
        f"{file.url} has other pixels than the manifest's picture and was deleted "
        f"({file.source.note}): a local copy is needed, {local}"
    )


def _accepted(file: File, data: bytes) -> bool:
    if hashlib.sha256(data).hexdigest() == file.sha256:
        return True
    if file.source.identical:
        return False
    try:
        with Image.open(io.BytesIO(data)) as image:
            return fingerprint(image) == file.pixels
    except Exception:  # Pillow's readers raise errors of any type on damaged files.
        return False
