"""The command line: outputs, one-line errors, nothing lost."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from inrcodec.cli import main
from inrcodec.families.pyramid import encode as pyramid_encoder


@pytest.fixture
def folder(tmp_path, photograph, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photograph.save("cat.png")
    return tmp_path


@pytest.fixture(scope="module")
def encoded(photograph, tmp_path_factory) -> bytes:
    where = tmp_path_factory.mktemp("encoded")
    photograph.save(where / "cat.png")
    result = run("encode", str(where / "cat.png"), "--bytes", "1100", "--effort", "1")
    assert result.exit_code == 0, result.output
    return (where / "cat.prc").read_bytes()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def fails(result: Result, *words: str) -> None:
    """One line on standard error that holds the words, no traceback, a non-zero status."""
    assert result.exit_code != 0
    assert isinstance(result.exception, SystemExit)
    lines = result.stderr.strip().splitlines()
    assert lines[-1].startswith("Error: ")
    assert result.stdout == ""
    for word in words:
        assert word in lines[-1]


@pytest.mark.parametrize("command", [[], ["encode"], ["decode"], ["info"], ["demo"]])
def test_help_is_everywhere(command):
    result = run(*command, "-h")
    assert result.exit_code == 0
    assert result.output.startswith("Usage:")


def test_encode_info_decode(folder):
    result = run("encode", "cat.png", "--bytes", "500", "--effort", "1", "--seed", "3")
    assert result.exit_code == 0, result.output
    assert "bytes" in result.stdout and " dB" in result.stdout and result.stderr == ""
    size = (folder / "cat.prc").stat().st_size
    assert 485 <= size <= 500

    facts = json.loads(run("info", "cat.prc", "--json").stdout)
    assert facts["bytes"] == size == sum(part["bytes"] for part in facts["parts"])
    assert (facts["width"], facts["height"], facts["channels"], facts["seed"]) == (48, 32, 3, 3)
    assert facts["complete"] and facts["basis"] == "identity" and facts["compaction"] == 1
    assert facts["overhead_bytes"] <= 48 + 6 * len(facts["layers"])
    coded = sum(part["coded"] for part in facts["parts"])
    bits = sum(x["bits_per_coefficient"] * x["coefficients"] for x in facts["layers"])
    assert bits / 8 == pytest.approx(coded, abs=3)
    text = run("info", "cat.prc").stdout
    assert "48x32 RGB" in text and "seed 3" in text and f"{size} bytes" in text

    assert run("decode", "cat.prc", "out.png", "--size", "30x20").exit_code == 0
    assert Image.open("out.png").size == (30, 20)
    assert run("decode", "cat.prc", "double.webp", "--scale", "2").exit_code == 0
    assert Image.open("double.webp").size == (96, 64)


def test_default_names_replace_the_suffix(folder, encoded):
    (folder / "other.prc").write_bytes(encoded)
    assert run("decode", "other.prc").exit_code == 0
    assert Image.open("other.png").size == (48, 32)


def test_nothing_is_overwritten_without_force(folder, encoded):
    (folder / "cat.prc").write_bytes(b"precious")
    fails(run("encode", "cat.png", "--effort", "1"), "cat.prc exists", "--force")
    assert (folder / "cat.prc").read_bytes() == b"precious"
    result = run("encode", "cat.png", "--effort", "1", "--bytes", "300", "--force")
    assert result.exit_code == 0
    assert len((folder / "cat.prc").read_bytes()) <= 300
    before = (folder / "cat.png").read_bytes()
    fails(run("decode", "cat.prc"), "cat.png exists")
    assert (folder / "cat.png").read_bytes() == before


def test_the_input_is_never_the_output(folder):
    fails(run("encode", "cat.png", "cat.png", "--force"), "is the input")


def test_a_failed_command_leaves_the_old_file_and_no_litter(folder):
    (folder / "cat.prc").write_bytes(b"precious")
    result = run("encode", "cat.png", "--bytes", "20", "--force")
    fails(result, "20 bytes are too few", "give at least")
    assert (folder / "cat.prc").read_bytes() == b"precious"
    assert sorted(path.name for path in folder.iterdir()) == ["cat.png", "cat.prc"]


def test_targets_exclude_each_other(folder):
    fails(run("encode", "cat.png", "--bpp", "1", "--psnr", "30"), "--bpp and --psnr exclude")


def test_a_gpu_without_enough_memory_gets_one_line(folder, monkeypatch):
    def full(*_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(pyramid_encoder, "PyramidProblem", full)
    result = run("encode", "cat.png", "--bytes", "1100", "--family", "pyramid", "--device", "cpu")
    fails(result, "too little memory on the GPU", "use the CPU")
    assert not (folder / "cat.prc").exists()


def test_an_unreachable_psnr_says_how_far_it_got(folder):
    noise = np.random.default_rng(0).integers(0, 256, (12, 12), np.uint8)
    Image.fromarray(noise).save("noise.png")
    fails(run("encode", "noise.png", "--psnr", "70", "--effort", "1"), "reached", "of 70 dB")
    assert not (folder / "noise.prc").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["encode", "absent.png"],
        ["encode", "text.txt"],
        ["encode", "."],
        ["encode", "cat.png", "no/where.prc"],
        ["encode", "cat.png", "--effort", "0"],
        ["encode", "cat.png", "--seed", "-1"],
        ["encode", "cat.png", "--basis", "fourier"],
        ["decode", "absent.prc"],
        ["decode", "text.txt"],
        ["decode", "ok.prc", "out.xyz"],
        ["decode", "ok.prc", "--size", "3by4"],
        ["decode", "ok.prc", "--size", "3x4", "--scale", "2"],
        ["decode", "ok.prc", "out.png", "--size", "0x9"],
        ["info", "absent.prc"],
        ["info", "text.txt"],
    ],
)
def test_bad_input_gets_one_line(folder, encoded, arguments):
    (folder / "text.txt").write_text("no picture")
    (folder / "ok.prc").write_bytes(encoded)
    before = sorted(path.name for path in folder.iterdir())
    fails(run(*arguments))
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_cut_file_decodes_with_a_warning(folder, encoded):
    (folder / "cut.prc").write_bytes(encoded[:-2])
    result = run("decode", "cut.prc")
    assert result.exit_code == 0
    assert result.stderr.startswith("Warning: cut.prc is cut short after")
    assert "the rest of the file is missing" in run("info", "cut.prc").stdout


def test_an_order_of_coefficients_is_told_and_lets_the_file_be_cut(folder):
    options = ("--bytes", "700", "--effort", "1", "--order", "contribution")
    result = run("encode", "cat.png", *options)
    assert result.exit_code == 0, result.output
    assert "bit planes in the order of their contribution" in run("info", "cat.prc").stdout
    result = run("decode", "cat.prc", "half.png", "--fraction", "0.5")
    assert result.exit_code == 0 and "bit planes of the coefficients are missing" in result.stderr
    fails(run("encode", "cat.png", "b.prc", *options, "--family", "pyramid"), "family siren")


def test_a_progressive_file_shows_the_picture_early(folder):
    options = ("--bytes", "1500", "--effort", "1")
    for name, kind in (("plain", ("--family", "pyramid")), ("early", ("--progressive",))):
        result = run("encode", "cat.png", f"{name}.prc", *options, *kind)
        assert result.exit_code == 0, result.output
        result = run("decode", f"{name}.prc", f"{name}.png", "--fraction", "0.5")
        assert result.exit_code == 0, result.output
    wanted = np.asarray(Image.open("cat.png"), float)
    plain, early = (
        np.square(np.asarray(Image.open(f"{name}.png"), float) - wanted).mean()
        for name in ("plain", "early")
    )
    assert early < plain
    wrong = ("--progressive", "--family", "siren", "--basis", "sparse")
    fails(run("encode", "cat.png", "b.prc", *wrong), "it has the identity")


def test_a_progressive_siren_shows_whole_stages(folder):
    options = ("--bytes", "1500", "--effort", "1", "--progressive", "--family", "siren")
    assert run("encode", "cat.png", *options).exit_code == 0
    facts = json.loads(run("info", "cat.prc", "--json").stdout)
    assert len(facts["network"]["stages"]) == 2
    assert [part["name"] for part in facts["parts"][1:]] == ["coefficients", "stage"]
    result = run("decode", "cat.prc", "half.png", "--fraction", "0.6")
    assert result.exit_code == 0 and "1 of 2 stages are missing" in result.stderr
    assert run("progressive", "cat.prc", "cat.webp").exit_code == 0
    assert Image.open("cat.webp").n_frames == 2


def test_the_demo_writes_its_files_and_prints_a_table(folder):
    result = run("demo", "here", "--effort", "1")
    assert result.exit_code == 0, result.output
    rows = result.stdout.splitlines()
    assert [row.split()[0] for row in rows[2:5]] == ["inrcodec", "jpeg", "webp"]
    sizes = [int(row.split()[1]) for row in rows[2:5]]
    assert sizes[0] == (folder / "here/cat.prc").stat().st_size <= min(sizes)
    assert Image.open(folder / "here/cat.png").size == (451, 300)
    assert Image.open(folder / "here/comparison.png").size[0] > 800
