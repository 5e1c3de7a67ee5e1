"""Fourteen chest X-rays, 8-bit grey: twelve of 640x524 pixels and two (nih_*) of 512x512.

The twelve were scaled down from the Hannover COVID-19 image repository (Winther et al. 2020, CC BY
3.0, https://github.com/ml-workgroup/covid-19-image-repository), whose names they keep; the two are
of NIH ChestX-ray14 (Wang et al. 2017). The scaling is not published, so they cannot be fetched from
there: a local copy is needed. The SHA-256 is that of the pixels.
"""

from __future__ import annotations

import os
from pathlib import Path

from PIL import Image

from datasets import DataError, checked, locate

_SHA256 = {
    "00870a9c": "2ee00cc46b0aaa0e0f2e4c663719c0e53c75e04fa2adead811bbed03bff4597d",
    "08d780ae": "bb99877368b010b7640fd1fe915baa427cdc6ca41244f674ba931673fcbd83f4",
    "0cea09eb": "7cadc94b3c94a12aa7cc24fba72d66a5ce6ef513170becea6d8bbc3e84728943",
    "1880e301": "d97940474dc54cde6decf514a6aff452bec03f5f1839a64b4428bad4293bcc84",
    "1f8a4a54": "387b704fd1ca10d084f2a8def7dd02e2fe7933323db7debb6172a542fd8abe18",
    "27a70642": "8a6f2bc6c9b531d1933cec1ad287a43e64ef341b896a5da1e52d4f53f4724488",
    "333932bd": "b12b6ba1268562047be34a83bcddf02d7440e4029938380906a2e9a040fde971",
    "436a6348": "6066026ab0c4d14fcfdfc545b5e4eb324f33d1f1507dfdddda2d4008c895fb84",
    "527321ee": "d437a310c8fed752250a31b352ff7e347b6b63b2fb340b180ee23a30de2ece33",
    "5b324cc7": "d8dfe634be93be87035391cba486420ef849d7e0006f920df136c202896b149b",
    "6b5af975": "a75f437d7114bd044261016fa1bce62df5f49764d2a06ab9da50f32ee5657765",
    "86d19bba": "31605c6d0ee09159ca6389ceae21c3c58996b248beae3ab06cb85a670f299016",
    "nih_00000001_000": "3624c11391f952d3e6a6d37419ac87f89644fb87a7b0f406cb9cca316e9e310e",
    "nih_00027426_000": "fde81d05cd0e98ab0187b49ba6bd02e04ef7985835d39b78f7dfd40efc4eb347",
}


def names() -> list[str]:
    """Give the names of the pictures."""
    return list(_SHA256)


def path(name: str, root: str | os.PathLike[str] | None = None) -> Path:
    """Give where the file of a picture should be; `root` as for `datasets.locate`."""
    return locate(root) / "chest_xray" / f"{name}.png"


def load(name: str, root: str | os.PathLike[str] | None = None) -> Image.Image:
    """Read a picture.

    Raises:
        KeyError: no such name.
        DataError: absent or damaged.
    """
    sha256, file = _SHA256[name], path(name, root)
    if not file.exists():
        raise DataError(
            f"{file} is absent: give a folder with a local copy, or set INRCODEC_DATA to it "
            "(from https://github.com/ml-workgroup/covid-19-image-repository and NIH ChestX-ray14)"
        )
    return checked(file.read_bytes(), sha256, file)


def fetch(root: str | os.PathLike[str] | None = None) -> Path:
    """Check that a local copy is complete, as there is nothing to fetch, and give its folder.

    Raises:
        DataError: a picture is absent or damaged.
    """
    for name in names():
        load(name, root)
    return locate(root) / "chest_xray"
