"""What the loaders of the test pictures promise."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

import datasets
from datasets import DataError, chest_xray, kodak

SETS = [pytest.param(kodak, id="kodak"), pytest.param(chest_xray, id="chest_xray")]


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Image.Image:
    """A small picture that stands in for the one of its name in each set."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8))
    for module in (kodak, chest_xray):
        monkeypatch.setattr(module, "_SHA256", {"picture": datasets.fingerprint(image)})
    return image


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that a web server on this machine serves as the home of the Kodak set."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    folder = tmp_path / "home"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setattr(kodak, "HOME", f"http://127.0.0.1:{server.server_port}")
    yield folder
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(("module", "count"), [(kodak, 24), (chest_xray, 14)])
def test_every_local_picture_is_the_published_one(module: ModuleType, count: int) -> None:
    names = module.names()
    assert len(set(names)) == count
    if not all(module.path(name).exists() for name in names):
        pytest.skip(f"no local copy in {module.path(names[0]).parent}")
    for name in names:
        image = module.load(name)
        assert image.mode == ("RGB" if module is kodak else "L")


@pytest.mark.parametrize("module", SETS)
def test_a_file_compressed_anew_passes(
    module: ModuleType, published: Image.Image, tmp_path: Path
) -> None:
    path = module.path("picture", tmp_path)
    path.parent.mkdir()
    for level in (0, 9):
        published.save(path, compress_level=level)
        assert module.load("picture", tmp_path).tobytes() == published.tobytes()
    assert module.fetch(tmp_path) == path.parent


@pytest.mark.parametrize("module", SETS)
def test_a_damaged_file_is_refused(
    module: ModuleType, published: Image.Image, tmp_path: Path
) -> None:
    path = module.path("picture", tmp_path)
    path.parent.mkdir()
    published.putpixel((0, 0), (1, 2, 3))
    published.save(path)
    with pytest.raises(DataError, match="not the published picture"):
        module.load("picture", tmp_path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="damaged"):
        module.load("picture", tmp_path)


def test_the_fingerprint_tells_sizes_and_modes_apart() -> None:
    images = [Image.new("L", (2, 3)), Image.new("L", (3, 2)), Image.new("RGB", (2, 1))]
    assert len({datasets.fingerprint(image) for image in images}) == 3


def test_an_absent_x_ray_says_where_it_comes_from(tmp_path: Path) -> None:
    for read in (chest_xray.fetch, partial(chest_xray.load, chest_xray.names()[0])):
        with pytest.raises(DataError, match=r"absent.*INRCODEC_DATA.*covid-19-image-repository"):
            read(root=tmp_path)


@pytest.mark.parametrize("module", SETS)
def test_unknown_names_are_refused(module: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        module.load("kodim99", tmp_path)


def test_absent_pictures_are_fetched(published: Image.Image, home: Path, tmp_path: Path) -> None:
    published.save(home / "picture.png")
    root = tmp_path / "root"
    assert kodak.load("picture", root).tobytes() == published.tobytes()
    (home / "picture.png").unlink()
    assert kodak.fetch(root) == root / "kodak"
    assert [file.name for file in (root / "kodak").iterdir()] == ["picture.png"]


def test_what_is_not_the_published_picture_is_not_kept(
    published: Image.Image, home: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (9, 8)).save(home / "picture.png")
    with pytest.raises(DataError, match=r"http://127\.0\.0\.1.*not the published picture"):
        kodak.fetch(tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_a_home_without_the_picture_gives_one_clear_line(
    published: Image.Image, home: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"cannot be fetched \(HTTP Error 404.*INRCODEC_DATA"):
        kodak.fetch(tmp_path / "root")


def test_the_root_is_the_argument_then_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INRCODEC_DATA", str(tmp_path))
    assert datasets.locate() == tmp_path
    assert datasets.locate(tmp_path / "other") == tmp_path / "other"
    monkeypatch.delenv("INRCODEC_DATA")
    assert datasets.locate().parts[-2:] in (("shared", "data"), (".cache", "inrcodec"))
