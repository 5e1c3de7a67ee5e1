"""The 24 Kodak test images: RGB, 8 bits, 768x512 or 512x768, released for unrestricted use.

The public PNGs are at https://r0k.us/graphics/kodak/. The SHA-256 is that of the pixels, so copies
that were compressed anew pass too.
"""

from __future__ import annotations

import http.client
import os
import urllib.request
from pathlib import Path

from PIL import Image

from datasets import DataError, checked, locate
from inrcodec.files import write_atomically

HOME = "https://r0k.us/graphics/kodak/kodak"
"""Where the PNGs are fetched from."""

_TIMEOUT = 60  # seconds
_SHA256 = {
    "kodim01": "999dc4a781b6ed90599f31b9a6cf78753704ac505f38a58c81b0197b22d2f808",
    "kodim02": "a520dce1b42c26b4dbd6598eba3e00ac2928cfdb329d860110a46e5d27fe6254",
    "kodim03": "347518286225e811298b25c33e629d04230b8a25afe306f37305123d94ed3b69",
    "kodim04": "91e29e590d8e51af7792b78701181b9250535c963212020a0e3c5156f493a0cf",
    "kodim05": "ccb16a09d78ac8100ede7c1c5272310c3300d1dd89f7eb56396aaecb508d6143",
    "kodim06": "156e7d416bb50198350857eebc54afe7e94825653528dd8de65312ebab0fc613",
    "kodim07": "b737c37105f68b62f2ee7833cdb50ec2deb8b9df75d510af3c9f4d8dbb7c71be",
    "kodim08": "4a3c9a50ecf32222c9251396de5167400fb245ec8e74fb779130972bb7e7d4ce",
    "kodim09": "b176313c64927df42be94b971606b3d3f6f11e8078cd35bc943a27595cee2642",
    "kodim10": "661679ca43b8b12425d45baf290137b793f0a9fb9dd949a51a0470259423c93d",
    "kodim11": "2c50e7c130310eb33f990e4b363b3337be58b0a8a1f54e3c1de1731e0fc2462a",
    "kodim12": "2fee93b872b4ce48a6166d87e5f4e247d347cd5f2cfcf4da261c1204a0542c86",
    "kodim13": "0963b695a6669cf5f62224cd94d6fdb87f552dc05bb7a560aa2fdc8aaef84f5c",
    "kodim14": "26db7f171a3b5bd4a9be7f139807ab4aa6e1258649e352bc140a722b1679a0c9",
    "kodim15": "cb883f4bb4d01fdbee99abc1034acdc70e9660ca30af602a1f3d86fe2f672cbe",
    "kodim16": "578162934f54efa9e7107a73f8a33686a993af1e7dcbeb77f1d49c5c43c803da",
    "kodim17": "5f70e588ef12b56334e17dfe64d8fd3be74925cec6eeb89212d1f3b50c6c08fe",
    "kodim18": "c7cb355e7f8656e4bdffd6c768245e54c9bd0f7063b1f83df4a81209b85d6bbf",
    "kodim19": "ca0b588bb38eaffd8a2b2c6b4ad3672ec8e6b7def7aceab70bd528abbd049bbf",
    "kodim20": "d1e72a68294ae81721a2f5c0d5eb1622c8a76ca4e23593247264171acfc9721a",
    "kodim21": "5348fbe5fc1ffaf5432e1ab5391f015c82378013b57190d3ffbaece7ed952f6d",
    "kodim22": "da1777d6e5a0d81ff2014aeefef4e6e089862189d9f798396996891c749bd3d6",
    "kodim23": "cd320be09c8298882cb2d1dbd056bb9009aeeccc858d558d3945bce00ecab47d",
    "kodim24": "cad8483fcb971729583276bda89228ea00c4aa2a6b3ecb9915aa306a1db1e43d",
}


def names() -> list[str]:
    """Give the names of the pictures, kodim01 to kodim24."""
    return list(_SHA256)


def path(name: str, root: str | os.PathLike[str] | None = None) -> Path:
    """Give where the file of a picture is or would be; `root` as for `datasets.locate`."""
    return locate(root) / "kodak" / f"{name}.png"


def load(name: str, root: str | os.PathLike[str] | None = None) -> Image.Image:
    """Read a picture, after fetching it if it is absent.

    Raises:
        KeyError: no such name.
        DataError: damaged, or absent and not to be fetched.
    """
    sha256, file = _SHA256[name], path(name, root)
    if not file.exists():
        _fetch(name, file)
    return checked(file.read_bytes(), sha256, file)


def fetch(root: str | os.PathLike[str] | None = None) -> Path:
    """Fetch the pictures that are absent, and give their folder.

    Raises:
        DataError: the home cannot be reached or sends something else.
    """
    for name in names():
        if not path(name, root).exists():
            _fetch(name, path(name, root))
    return locate(root) / "kodak"


def _fetch(name: str, file: Path) -> None:
    url = f"{HOME}/{name}.png"
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as response:
            data = response.read()
        checked(data, _SHA256[name], url)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, data)
    except (OSError, http.client.HTTPException) as error:
        raise DataError(
            f"{file} is absent and {url} cannot be fetched ({error}): "
            "give a folder with a local copy, or set INRCODEC_DATA to it"
        ) from error
