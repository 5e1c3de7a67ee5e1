"""What the test pictures' sets promise; the network is a web server on this machine."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import datasets
from datasets import SETS, DataError, dataset, download, fetch, fingerprint, manifest
from datasets.__main__ import main

CHECKOUT = Path(datasets.__file__).parents[1]
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 299, 3), np.uint8))
LOCAL = r"name a folder that holds \w+/first\.png with --data or in INRCODEC_DATA"


def as_png(image: Image.Image, level: int = 6) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "png", compress_level=level)
    return stream.getvalue()


class Home(ThreadingHTTPServer):
    """Serves `files`, with or without ranges, and notes the range of each request.

    `cuts` are the bytes after which the next answers break off, or stall where `stalls` is set.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.files: dict[str, bytes] = {}
        self.cuts: list[int] = []
        self.asked: list[str | None] = []
        self.ranges = True
        self.length = True
        self.stalls: threading.Event | None = None


class Answer(BaseHTTPRequestHandler):
    server: Home

    def do_GET(self) -> None:
        home, data = self.server, self.server.files.get(self.path.removeprefix("/"))
        asked = self.headers["Range"]
        home.asked.append(asked)
        if data is None:
            self.send_error(404)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and home.ranges else 0
        if start and start >= len(data):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if home.length:
            self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        cut = home.cuts.pop(0) if home.cuts else len(data)
        self.wfile.write(data[start : start + cut])
        if home.stalls and cut < len(data):
            self.wfile.flush()
            home.stalls.wait(20)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A home that serves `PICTURE` as first.png; each set consists of it alone.

    Kodak's public file is known to be the manifest's, that of the chest X-rays is not.
    """
    server = Home()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    data = as_png(PICTURE)
    server.files["first.png"] = data
    (tmp_path / "manifests").mkdir()
    for name in SETS:
        source = {"home": server.url, "citation": "", "identical": name == "kodak", "note": "so"}
        file = {
            "name": "first",
            "source": "here",
            "licence": "free",
            "url": f"{server.url}/first.png",
            "bytes": len(data),
            "width": PICTURE.width,
            "height": PICTURE.height,
            "mode": PICTURE.mode,
            "sha256": hashlib.sha256(data).hexdigest(),
            "pixels": fingerprint(PICTURE),
        }
        text = json.dumps({"sources": {"here": source}, "files": [file]})
        (tmp_path / "manifests" / f"{name}.json").write_text(text)
    monkeypatch.setattr(manifest, "FOLDER", tmp_path / "manifests")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield server
    if server.stalls:
        server.stalls.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def files_under(root: Path) -> list[str]:
    return sorted(path.name for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize(("name", "count"), [("kodak", 24), ("chest_xray", 14)])
def test_the_manifests_say_all_of_every_file(name: str, count: int) -> None:
    files = manifest.read(name)
    assert len({file.name for file in files}) == len({file.pixels for file in files}) == count
    for file in files:
        assert file.licence and file.source.home.startswith("https://") and file.source.citation
        assert file.bytes > 0 and file.width > 0 and file.height > 0
        assert file.mode == ("RGB" if name == "kodak" else "L")
        assert re.fullmatch("[0-9a-f]{64}", file.sha256)
        assert re.fullmatch("[0-9a-f]{64}", file.pixels)
        if file.url is None:
            assert file.source.note
        else:
            assert file.url.startswith("https://") and file.url.endswith(f"/{file.name}.png")
    assert dataset(name).name == name
    assert dataset(name).images == tuple(file.name for file in files)


@pytest.mark.parametrize("name", SETS)
def test_the_manifests_agree_with_the_local_pictures(name: str) -> None:
    folder = datasets.locate() / name
    files = manifest.read(name)
    if not all((folder / f"{file.name}.png").exists() for file in files):
        pytest.skip(f"no local copy in {folder}")
    for file in files:
        image = dataset(name).load(file.name)
        assert (image.mode, image.width, image.height) == (file.mode, file.width, file.height)
        # A copy that was compressed anew is as good, and says nothing about the file.
        data = (folder / f"{file.name}.png").read_bytes()
        if len(data) == file.bytes:
            assert hashlib.sha256(data).hexdigest() == file.sha256


@pytest.mark.parametrize("name", SETS)
def test_absent_pictures_are_fetched_once(name: str, home: Home, root: Path) -> None:
    pictures = dataset(name, root)
    for _ in range(2):
        assert pictures.load("first").tobytes() == PICTURE.tobytes()
    assert fetch(name, root) == root / name
    assert home.asked == [None]
    assert files_under(root) == ["first.png"]


def test_many_at_once_fetch_once(home: Home, root: Path) -> None:
    if importlib.util.find_spec("fcntl") is None:
        pytest.skip("the system has no locks on folders")
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(lambda _: dataset("kodak", root).load("first"), range(8)))
    assert all(image.tobytes() == PICTURE.tobytes() for image in images)
    assert home.asked == [None]


@pytest.mark.parametrize("name", SETS)
def test_a_cut_download_goes_on_where_it_stopped(name: str, home: Home, root: Path) -> None:
    data = home.files["first.png"]
    half = len(data) // 2
    home.cuts = [half]
    with pytest.raises(DataError, match=rf"ended after {half} of {len(data)} bytes\): try again"):
        fetch(name, root)
    assert files_under(root) == ["first.png.part"]
    heard: list[tuple[str, int, int | None]] = []
    fetch(name, root, lambda *heard_now: heard.append(heard_now))
    assert home.asked == [None, f"bytes={half}-"]
    assert (root / name / "first.png").read_bytes() == data
    assert files_under(root) == ["first.png"]
    assert heard[0][1] > half
    assert heard[-1] == ("first", len(data), len(data))


@pytest.mark.parametrize("length", [True, False])
def test_a_server_without_ranges_sends_all_anew(length: bool, home: Home, root: Path) -> None:
    home.ranges, home.length, home.cuts = False, length, [1000]
    with pytest.raises(DataError, match="ended after 1000 of"):
        fetch("kodak", root)
    fetch("kodak", root)
    assert home.asked == [None, "bytes=1000-"]
    assert (root / "kodak" / "first.png").read_bytes() == home.files["first.png"]


@pytest.mark.parametrize("name", SETS)
def test_a_complete_part_needs_no_more(name: str, home: Home, root: Path) -> None:
    (root / name).mkdir(parents=True)
    (root / name / "first.png.part").write_bytes(home.files["first.png"])
    fetch(name, root)
    assert files_under(root) == ["first.png"]


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("there", [b"other", b"\0" * 10**6], ids=["other", "longer"])
def test_a_part_of_another_file_is_deleted(name: str, there: bytes, home: Home, root: Path) -> None:
    (root / name).mkdir(parents=True)
    (root / name / "first.png.part").write_bytes(there)
    with pytest.raises(DataError, match="was deleted"):
        fetch(name, root)
    assert files_under(root) == []
    fetch(name, root)
    assert files_under(root) == ["first.png"]


def test_another_file_is_not_kept(home: Home, root: Path) -> None:
    home.files["first.png"] = as_png(PICTURE, level=1)
    with pytest.raises(DataError, match=f"another SHA-256.*deleted: try again, or {LOCAL}"):
        dataset("kodak", root).load("first")
    assert files_under(root) == []


def test_an_x_ray_may_be_another_file_of_the_same_pixels(home: Home, root: Path) -> None:
    home.files["first.png"] = as_png(PICTURE, level=1)
    assert dataset("chest_xray", root).load("first").tobytes() == PICTURE.tobytes()
    for other in (as_png(PICTURE.resize((600, 600))), b"not a picture"):
        (root / "chest_xray" / "first.png").unlink(missing_ok=True)
        home.files["first.png"] = other
        with pytest.raises(DataError, match=rf"other pixels.*\(so\).*local copy.*{LOCAL}"):
            dataset("chest_xray", root).load("first")
        assert files_under(root) == []


def test_an_unreachable_home_gives_one_clear_line(
    home: Home, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del home.files["first.png"]
    with pytest.raises(DataError, match=rf"cannot be fetched \(HTTP Error 404.*{LOCAL}"):
        fetch("kodak", root)
    home.files["first.png"], home.cuts = as_png(PICTURE), [1000]
    home.stalls = threading.Event()
    with monkeypatch.context() as patch:
        patch.setattr(download, "TIMEOUT", 0.2)
        with pytest.raises(DataError, match=r"cannot be fetched \(timed out\)"):
            fetch("kodak", root)
    closed = Home()
    closed.server_close()
    text = (manifest.FOLDER / "kodak.json").read_text().replace(home.url, closed.url)
    (manifest.FOLDER / "kodak.json").write_text(text)
    pattern = rf"first\.png is absent and {closed.url}.*Connection refused\): try again, or {LOCAL}"
    with pytest.raises(DataError, match=pattern) as caught:
        dataset("kodak", root).load("first")
    assert "\n" not in str(caught.value)


def test_a_picture_that_is_not_published_alone_says_where_it_is_from(root: Path) -> None:
    with pytest.raises(DataError, match=r"absent.*https://nihcc\.app.*--data or in INRCODEC_DATA"):
        dataset("chest_xray", root).load("nih_00000001_000")
    assert not root.exists()


def test_a_folder_that_cannot_be_written_is_reported(home: Home, root: Path) -> None:
    root.write_text("a file")
    with pytest.raises(DataError, match=LOCAL):
        fetch("kodak", root)


@pytest.mark.parametrize("name", SETS)
def test_a_local_copy_compressed_anew_passes(name: str, home: Home, root: Path) -> None:
    (root / name).mkdir(parents=True)
    for level in (0, 9):
        PICTURE.save(root / name / "first.png", compress_level=level)
        assert dataset(name, root).load("first").tobytes() == PICTURE.tobytes()
    assert fetch(name, root) == root / name
    assert home.asked == []


@pytest.mark.parametrize("name", SETS)
def test_a_wrong_or_damaged_local_copy_is_refused(name: str, home: Home, root: Path) -> None:
    path = root / name / "first.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(as_png(Image.new("RGB", PICTURE.size)))
    for read in (lambda: dataset(name, root).load("first"), lambda: fetch(name, root)):
        with pytest.raises(DataError, match=r"first\.png is not the published picture"):
            read()
    for damaged in (as_png(PICTURE)[:5000], b"", b"text"):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"first\.png (is damaged|cannot be read).*replace it"):
            dataset(name, root).load("first")
    assert home.asked == []


def test_the_fingerprint_tells_sizes_and_modes_apart() -> None:
    images = [Image.new("L", (2, 3)), Image.new("L", (3, 2)), Image.new("RGB", (2, 1))]
    assert len({fingerprint(image) for image in images}) == 3


def test_a_folder_is_a_set_of_its_images(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / "below.png").mkdir(parents=True)
    small = Image.new("RGB", (5, 4), (1, 2, 3))
    for name in ("c.ppm", "B.PNG", "a.jpg", "d.webp", "e.tif", "f.bmp"):
        small.save(folder / name)
    Image.new("L", (3, 2)).save(folder / "g.pgm")
    (folder / "notes.txt").write_text("no image")
    pictures = dataset(str(folder))
    assert pictures.name == "mine"
    assert pictures.images == ("B.PNG", "a.jpg", "c.ppm", "d.webp", "e.tif", "f.bmp", "g.pgm")
    assert [pictures.load(image).size for image in pictures.images] == [(5, 4)] * 6 + [(3, 2)]
    assert pickle.loads(pickle.dumps(pictures)).load("B.PNG").tobytes() == small.tobytes()


def test_a_corrupt_image_spoils_only_itself(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(as_png(PICTURE)[:3000])
    (tmp_path / "empty.jpg").touch()
    PICTURE.save(tmp_path / "good.png")
    pictures = dataset(str(tmp_path))
    for bad in ("bad.png", "empty.jpg"):
        with pytest.raises(DataError, match=f"{re.escape(bad)} (is damaged|cannot be read)"):
            pictures.load(bad)
    assert pictures.load("good.png").tobytes() == PICTURE.tobytes()
    (tmp_path / "good.png").unlink()
    with pytest.raises(DataError, match=r"good\.png cannot be read \(No such file"):
        pictures.load("good.png")


def test_what_is_no_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no images"):
        dataset(str(tmp_path))
    for spec in ("kodac", str(tmp_path / "absent")):
        with pytest.raises(DataError, match=r"neither a folder.*kodak and chest_xray"):
            dataset(spec)
    with pytest.raises(DataError, match="kodac is not one of the sets kodak and chest_xray"):
        fetch("kodac", tmp_path)


def test_unknown_names_are_refused(root: Path, tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "a.png")
    (tmp_path / "below").mkdir()
    for spec in (*SETS, str(tmp_path)):
        for image in ("kodim99", "../a.png", ""):
            with pytest.raises(KeyError):
                dataset(spec, root).load(image)


def test_the_root_is_the_argument_then_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INRCODEC_DATA", str(tmp_path))
    assert datasets.locate() == tmp_path
    assert datasets.locate(tmp_path / "other") == tmp_path / "other"
    monkeypatch.delenv("INRCODEC_DATA")
    assert datasets.locate().parts[-2:] in (("shared", "data"), (".cache", "inrcodec"))


def test_the_command_lists_the_sets() -> None:
    result = CliRunner().invoke(main, ["list"])
    assert result.exit_code == 0
    for word in ("kodak", "24 images", "chest_xray", "CC BY 3.0", "https://r0k.us/", "nihcc"):
        assert word in result.stdout


def test_the_command_fetches_without_progress_in_a_pipe(home: Home, root: Path) -> None:
    result = CliRunner().invoke(main, ["fetch", "kodak", "--data", str(root)])
    assert result.exit_code == 0
    assert result.stdout == f"1 images in {root / 'kodak'}\n"
    assert result.stderr == ""
    (root / "kodak" / "first.png").write_bytes(b"")
    result = CliRunner().invoke(main, ["fetch", "kodak", "--data", str(root)])
    assert result.exit_code == 1
    assert re.fullmatch(r"Error: .*first\.png.*\n", result.stderr)
    assert CliRunner().invoke(main, ["fetch", "kodac"]).exit_code == 2


def command(home: Home, root: Path, **streams: int) -> subprocess.Popen[bytes]:
    """Start `python -m datasets fetch kodak` on the manifests of the test."""
    # A shell's background jobs, and what they start, ignore SIGINT.
    start = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from pathlib import Path; from datasets import manifest; "
        "from datasets.__main__ import main; manifest.FOLDER = Path(sys.argv.pop(1)); main()"
    )
    line = [sys.executable, "-c", start, manifest.FOLDER, "fetch", "kodak", "--data", root]
    return subprocess.Popen(line, cwd=CHECKOUT, **streams)


def test_an_interrupted_command_goes_on(home: Home, root: Path) -> None:
    data = home.files["first.png"]
    home.cuts, home.stalls = [50_000], threading.Event()
    part = root / "kodak" / "first.png.part"
    with command(home, root, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 20
        while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 1
        assert process.stderr is not None
        assert process.stderr.read() == b"\nAborted!\n"
    there = part.stat().st_size
    assert 0 < there <= 50_000
    assert CliRunner().invoke(main, ["fetch", "kodak", "--data", str(root)]).exit_code == 0
    assert home.asked == [None, f"bytes={there}-"]
    assert (root / "kodak" / "first.png").read_bytes() == data


def test_the_command_shows_progress_on_a_terminal(home: Home, root: Path) -> None:
    pty = pytest.importorskip("pty", reason="needs a terminal as Unix has it")
    ours, theirs = pty.openpty()
    with command(home, root, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while block := os.read(ours, 4096):
                shown += block
        except OSError:  # Linux ends a terminal that nobody else holds by an error.
            pass
        assert process.wait(20) == 0
    os.close(ours)
    size = f"{len(home.files['first.png']) / 1e3:.0f}"
    assert f"first  {size} of {size} kB".encode() in shown
    assert shown.endswith(b"\r\x1b[K")
