"""The report of a results folder: complete, true to its points, and plain about what is missing."""

import json
import math
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import inrcodec
from datasets import fingerprint
from eval import anchors, bd, curves, report, tables
from eval.store import COLUMNS, ResultsError

KNOBS = {"inrcodec": "bpp", "coin": "bpp"}
GAINS = {"inrcodec": 1.5, "inrcodec:effort=1": 1.0, "jpeg": 0.0, "webp": 2.5, "coin": -1.0}
RATES = (0.1, 0.2, 0.4, 0.8, 1.2)


def point(codec="jpeg", image="kodim15", setting=0.1, dataset="kodak", **changes):
    """A point of curves that rise by 3 dB an octave and differ by `GAINS`."""
    bpp = changes.pop("bpp", setting)
    psnr = 30 + GAINS[codec] + 3 * math.log2(bpp / 0.2) + int(image[-2:])
    row = dict.fromkeys(COLUMNS) | {
        "dataset": dataset, "image": image, "sha256": "0" * 16, "width": 768, "height": 512,
        "channels": 3, "codec": codec, "knob": KNOBS.get(codec.partition(":")[0], "quality"),
        "setting": setting, "bytes": round(bpp * 768 * 512 / 8), "bpp": bpp, "psnr": psnr,
        "mse": 255**2 / 10 ** (psnr / 10), "ms_ssim": 1 - 10 ** (-psnr / 20), "ssim": 0.9,
        "seconds_encode": 2.0, "seconds_decode": 0.1, "mib_encode": 10, "mib_decode": 5,
        "version": "1.0", "machine": "a machine", "threads": 1, "jobs": 1,
        "started": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    return row | changes


def curve(codec, image="kodim15", dataset="kodak", rates=RATES, **changes):
    return [point(codec, image, rate, dataset, **changes) for rate in rates]


@pytest.fixture
def made(tmp_path):
    """Writes points, failures and commands into a folder and gives the report's two texts."""

    def make(points, failures=(), commands=("python -m eval rd",)):
        folder = tmp_path / "results"
        folder.mkdir(exist_ok=True)
        tables.write_csv(folder / "points.csv", points)
        if failures:
            tables.write_csv(folder / "failures.csv", failures)
        run = {"kind": "rd", "commands": list(commands)}
        (folder / "run.json").write_text(json.dumps(run))
        paths = report.write(folder, str(tmp_path))
        assert all(path.is_file() for path in paths)
        texts = [(folder / f"report.{kind}").read_text() for kind in ("html", "md")]
        linked = set(re.findall(r'src="([^"]+)"', texts[0]))
        assert linked == set(re.findall(r"!\[[^\]]*\]\(([^)]+)\)", texts[1]))
        assert linked == {path.relative_to(folder).as_posix() for path in paths[2:]}
        for text in texts:
            assert str(tmp_path) not in text
            assert " nan" not in text
        return texts

    return make


def row_of(markdown, heading, first):
    """The cells of a row, by its first cell, in the first table after a text."""
    lines = markdown[markdown.index(heading) :].splitlines()
    found = next(line for line in lines if line.startswith(f"| {first} "))
    return [cell.strip() for cell in found.strip("|").split("|")]


IMAGES = ("kodim15", "kodim01")
USUAL = [row for image in IMAGES for codec in GAINS for row in curve(codec, image)]


def test_html_and_markdown_have_the_same_sections(made):
    html, markdown = made(USUAL)
    sections = re.findall(r"<h\d>(.*?)</h\d>", html)
    assert sections == re.findall(r"^#+ (.*)$", markdown, re.M)
    assert {"What was measured", "Summary", "Curves", "Bjøntegaard deltas", "Means",
            "Image by image", "Crops at equal bytes", "Speed",
            "Failures and missing codecs"} <= set(sections)  # fmt: skip
    assert "<script" not in html and "http" not in html
    for text in (html, markdown):
        assert "python -m eval rd" in text
        assert "a machine" in text


def test_bd_rates_are_those_of_bd(made):
    _, markdown = made(USUAL)
    expected = bd.bd_rate(
        [(row["bpp"], row["psnr"]) for row in curve("jpeg")],
        [(row["bpp"], row["psnr"]) for row in curve("inrcodec")],
    ).value
    assert expected == pytest.approx(100 * (2**-0.5 - 1))
    cells = row_of(markdown, "Against JPEG. Mean", "inrcodec")
    assert cells[1] == cells[2] == f"{expected:+.1f}"
    assert cells[4] == "+1.50"
    matrix = row_of(markdown, "Every codec", "WebP")
    assert matrix[1] == f"{100 * (2 ** (-1 / 3) - 1):+.1f}"


def test_wins_and_losses_are_said(made):
    html, markdown = made(USUAL)
    for text in (html, markdown):
        assert "Behind at every rate compared: WebP." in text
        assert re.search(r"Ahead at every rate compared: [^.]*JPEG", text)
        assert "Against WebP: behind by 1.00 dB at 0.1, 0.2, 0.4, 0.8, 1.2 bpp; " in text
        assert "better in 0 of 10 comparisons" in text


def test_where_the_other_codec_has_no_file_as_small_is_said(made):
    _, markdown = made(curve("inrcodec") + curve("jpeg", rates=(0.3, 0.5, 0.8, 1.2)))
    assert "no file as small for 1 of 1 at 0.1 bpp, 1 of 1 at 0.2 bpp" in markdown
    assert row_of(markdown, "| inrcodec minus", "JPEG")[1:4] == ["–", "–", "+1.50 (1/1)"]


def test_a_subset_is_not_compared_with_means_over_all(made):
    html, markdown = made(USUAL)
    for text in (html, markdown):
        assert "ours over a subset of 2: the two are not comparable" in text
        assert "but for Cool-chic 5.0 (HOP)" in text
    assert row_of(markdown, "### Against published", "Cool-chic 5.0 (HOP)")
    assert "| C3 " not in markdown[: markdown.index("Sources of the published")]


def test_the_whole_set_is_compared_with_all_published(made):
    images = [f"kodim{number:02}" for number in range(1, 25)]
    _, markdown = made([row for image in images for row in curve("inrcodec", image)])
    assert "not comparable" not in markdown
    assert len(row_of(markdown, "### Against published", "C3")) == 2 + len(RATES)


def test_published_images_are_compared_one_by_one(made):
    images = [f"kodim{number:02}" for number in range(1, 25)]
    named = {anchor.codec: anchor for anchor in anchors.kodak(images)}
    via, c3 = named["Cool-chic 5.0 (HOP)"], named["C3"]
    rates = (0.2, 0.3, 0.45, 0.64)  # Of its own curves, at one rate for all images.
    points = [
        point("inrcodec", image, rate, bpp=1.1 * rate,
              psnr=curves.interpolated(via.each[image], rate))
        for image in images for rate in rates
    ]  # fmt: skip
    _, markdown = made(points)
    *_, mean, single = row_of(markdown, "### Against published", via.codec)
    # Between its points these curves are the published ones only about.
    assert 7 < float(single) < 13
    assert float(mean) < float(single) - 5
    *_, other = row_of(markdown, "### Against published", "C3")
    expected = (1 + float(single) / 100) / (1 + bd.bd_rate(via.psnr, c3.psnr).value / 100) - 1
    assert float(other) == pytest.approx(100 * expected, abs=0.1)
    *_, single = row_of(markdown, "### Against published", "COIN")
    assert single == "–"


def test_other_sets_have_no_published_curves(made):
    html, markdown = made([row | {"dataset": "kodak/2"} for row in USUAL])
    assert "published" not in html + markdown
    assert "plots/kodak_2-curves.png" in html


def test_without_jpeg(made):
    _, markdown = made(curve("inrcodec") + curve("webp"))
    assert "JPEG was not measured" in markdown
    assert row_of(markdown, "Every codec", "inrcodec")[1] == "·"


@pytest.mark.parametrize("codec", ["inrcodec", "jpeg"])
def test_one_codec_alone(made, codec):
    _, markdown = made(curve(codec))
    words = {"inrcodec": "nothing to compare with", "jpeg": "inrcodec was not measured"}
    assert words[codec] in markdown
    assert "One codec alone has none." in markdown


def test_a_bd_rate_that_only_some_images_have_says_how_many(made):
    far = [row | {"image": "kodim02"} for row in curve("inrcodec")]
    near = [row | {"image": "kodim02", "psnr": row["psnr"] + 50} for row in curve("jpeg")]
    _, markdown = made([*curve("inrcodec"), *curve("jpeg"), *far, *near])
    assert row_of(markdown, "Against JPEG. Mean", "inrcodec")[1] == "-29.3 (1 of 2)"


def test_refused_cells_have_a_footnote(made):
    html, markdown = made(curve("inrcodec", rates=(0.1, 0.2, 0.4)) + curve("jpeg"))
    assert row_of(markdown, "Against JPEG. Mean", "inrcodec")[1:4] == ["– [1]", "– [1]", "–"]
    for text in (html, markdown):
        assert "[1] 3 usable points in the test curve, under 4." in text


def test_equal_pictures_do_not_spoil_the_curves(made):
    points = curve("inrcodec") + curve("jpeg")
    points.append(point("jpeg", setting=100, bpp=5.0, psnr=math.inf, mse=0.0, ms_ssim=1.0))
    _, markdown = made(points)
    assert re.search(r"\| JPEG +\| +100 \|.*∞", markdown)
    assert row_of(markdown, "Against JPEG. Mean", "inrcodec")[1] == "-29.3"


def test_means_are_over_all_images_of_a_codec(made):
    points = [row for row in USUAL if (row["codec"], row["image"], row["setting"])
              != ("inrcodec", "kodim01", 1.2)]  # fmt: skip
    _, markdown = made(points)
    assert "left out: inrcodec 1.2" in markdown
    frame = curves.means(pd.DataFrame(points))
    own = frame[frame["codec"] == "inrcodec"]
    assert list(own["setting"]) == [0.1, 0.2, 0.4, 0.8]
    first = own.iloc[0]
    values = np.array([row["psnr"] for row in points
                       if (row["codec"], row["setting"]) == ("inrcodec", 0.1)])  # fmt: skip
    assert first["psnr"] == pytest.approx(values.mean())
    assert first["psnr_of_mse"] == pytest.approx(-10 * np.log10((10 ** (-values / 10)).mean()))


def test_a_codec_with_fewer_images_is_compared_on_those(made):
    points = curve("inrcodec", "kodim01") + curve("inrcodec", "kodim15") + curve("jpeg", "kodim15")
    _, markdown = made(points)
    assert row_of(markdown, "Every codec", "inrcodec")[2] == "-29.3"
    assert "better in 5 of 5 comparisons" in markdown


def test_failures_and_absent_codecs_are_listed(made):
    failures = [
        {"dataset": "kodak", "image": "kodim02", "codec": "coin", "setting": "0.1",
         "error": "/home/me/a b.png: too | large <"},
        {"dataset": "", "image": "", "codec": "avif", "setting": "", "error": "Pillow lacks it"},
    ]  # fmt: skip
    commands = ["python -m eval rd --data /home/me/sets --dataset kodak/2"]
    html, markdown = made(USUAL, failures, commands)
    assert "too &lt; large" not in html and "too | large &lt;" in html
    assert r"too \| large <" in markdown
    for text in (html, markdown):
        assert "Pillow lacks it" in text
        assert "/home/me" not in text
        assert "--dataset kodak/2" in text
        assert re.search(r"Without any point here: .*AVIF", text)


def test_shared_machines_are_said(made):
    assert "shared the machine" not in made(USUAL)[1]
    assert "shared the machine" in made([row | {"jobs": 2} for row in USUAL])[1]


def test_names_that_look_like_numbers_stay_names(made):
    _, markdown = made(curve("inrcodec", "1880e301", "chest_xray"))
    assert "All points of 1880e301" in markdown


def test_what_is_no_table_of_points_is_refused(tmp_path):
    for text in ("", "a,b\n1,2\n", ",".join(COLUMNS) + "\n"):
        (tmp_path / "points.csv").write_text(text)
        with pytest.raises(ResultsError, match=r"points\.csv"):
            report.write(tmp_path)
    with pytest.raises(OSError, match=r"points\.csv"):
        report.write(tmp_path / "absent")


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A results folder of one small picture of a folder, with our files and JPEG's figures."""
    monkeypatch.chdir(tmp_path)
    y, x = np.mgrid[:40, :56]
    image = Image.fromarray((120 + 60 * np.sin(x / 9) + y).astype(np.uint8))
    (tmp_path / "photos").mkdir()
    image.save("photos/waves01.png")
    data = inrcodec.encode(image, bpp=1.0, effort=1)
    file = tmp_path / "results" / "files" / "photos" / "waves01.png" / "inrcodec@1.bin"
    file.parent.mkdir(parents=True)
    file.write_bytes(data)
    own = {"dataset": "photos", "image": "waves01.png", "width": 56, "height": 40, "channels": 1,
           "sha256": fingerprint(image)[:16], "psnr": 30.0, "mse": 65.0}  # fmt: skip
    points = [point("inrcodec", setting=1.0) | own | {"bytes": len(data)}]
    points += [point("jpeg", setting=q) | own | {"bytes": 100 * q} for q in (4, 8)]
    return points


def test_crops_at_equal_bytes(made, photos, tmp_path):
    html, _ = made(photos)
    assert "crops/photos-waves01.png.png" in html
    sheet = Image.open(tmp_path / "results" / "crops" / "photos-waves01.png.png")
    assert sheet.width > 3 * 2 * 56 and sheet.height > 2 * 40


def test_a_copied_folder_without_pictures_says_so(made, photos, tmp_path):
    made(photos)
    copy = tmp_path / "elsewhere" / "results"
    shutil.copytree(tmp_path / "results", copy)
    shutil.rmtree(tmp_path / "photos")
    report.write(copy)
    text = (copy / "report.md").read_text()
    assert text.count("no crops") == 1
    shutil.rmtree(copy / "files")
    report.write(copy)
    assert "are not in the folder" in (copy / "report.md").read_text()


def test_pictures_that_are_others_now_are_not_shown(made, photos):
    text = made([row | {"sha256": "1" * 16} for row in photos])[1]
    assert "not the one that was measured" in text
