"""The house stands as docs/architecture.md draws it: imports point down, the wings never meet."""

from __future__ import annotations

import ast
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "inrcodec"
MODULES = {
    ".".join(("inrcodec", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
        ".__init__"
    ): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

FLOORS = (
    ("inrcodec.__main__", "inrcodec.cli"),
    ("inrcodec.demo",),
    ("inrcodec.baselines", "inrcodec.encoder", "inrcodec.progressive"),
    ("inrcodec.decoder",),
    ("inrcodec.prc",),
    ("inrcodec.limits",),
    ("inrcodec.families",),
    ("inrcodec.families.siren", "inrcodec.families.pyramid"),
    ("inrcodec.job", "inrcodec.content"),
    ("inrcodec.optim", "inrcodec.entropy", "inrcodec.l2"),
    ("inrcodec.container",),
    ("inrcodec.image", "inrcodec.pranc", "inrcodec.kernels"),
    ("inrcodec.metrics", "inrcodec.files"),
    ("inrcodec.errors",),
)
"""Rooms from the top of the house to the ground; a room imports its own and those below it."""

LONG_FUNCTIONS: dict[str, str] = {}
"""Functions of more than 60 lines, each with the reason."""

OPTIONS = "one parameter for each option, which callers name"
TRITON = "Triton's kernels take pointers and numbers one by one, no tuples of them"
MANY_PARAMETERS = {
    "inrcodec.cli.decode.decode": OPTIONS,
    "inrcodec.cli.encode.encode": OPTIONS,
    "inrcodec.encoder.encode": OPTIONS,
    "inrcodec.families.pyramid.kernels.gpu._rate_kernel": TRITON,
    "inrcodec.families.pyramid.kernels.gpu._sines_kernel": TRITON,
}
"""Functions of more than 8 parameters, each with the reason."""


def floor(module: str) -> int:
    """The floor of a module: that of the longest room name that it starts with."""
    rooms = [
        (len(room), index)
        for index, rooms in enumerate(FLOORS)
        for room in rooms
        if module == room or module.startswith(f"{room}.")
    ]
    if module == "inrcodec.families":
        return next(i for i, rooms in enumerate(FLOORS) if module in rooms)
    return max(rooms)[1] if rooms else len(FLOORS)


def imports(path: Path) -> set[str]:
    """Modules of the package that a file imports anywhere but for type checkers."""
    found = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = [
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.walk(node)
    ]
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("inrcodec"):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in MODULES else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("inrcodec")}
    return found


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module):
    above = {other for other in imports(MODULES[module]) if floor(other) < floor(module)}
    # The package itself has nothing but the version, the errors and names that load lazily.
    assert module == "inrcodec" or above - {"inrcodec"} == set()


@pytest.mark.parametrize("module", MODULES)
def test_the_wings_never_meet(module):
    wings = [wing for wing in ("siren", "pyramid") if f".families.{wing}" in module]
    others = {"siren": "pyramid", "pyramid": "siren"}
    for wing in wings:
        met = [m for m in imports(MODULES[module]) if f".families.{others[wing]}" in m]
        assert met == []


def test_there_are_no_cycles():
    graph = {module: imports(path) for module, path in MODULES.items()}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " → ".join((*trail[trail.index(module) :], module))
        if module in done:
            return
        for other in sorted(graph.get(module, ())):
            if other not in ("inrcodec", "inrcodec.families"):
                visit(other, (*trail, module))
        done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("module", [m for m in MODULES if ".families." not in m])
def test_the_shell_asks_no_network_what_it_is(module):
    names = {"identity", "dense", "hadamard", "kronecker", "sparse", "siren", "pyramid"}
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
            assert not {"Siren", "Pyramid"} & set(
                ast.unparse(node.args[1]).replace(",", " ").split()
            )
        if isinstance(node, ast.Compare):
            strings = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant)]
            assert not names & {s for s in strings if isinstance(s, str)}, ast.unparse(node)


def functions():
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{module}.{node.name}", node


def test_functions_are_short_enough_to_read():
    def lines(node: ast.FunctionDef) -> int:
        """Lines of a function without its decorators, docstring and signature."""
        body = node.body[1:] if ast.get_docstring(node) else node.body
        return body[-1].end_lineno - body[0].lineno + 1 if body else 0

    long = {name for name, node in functions() if lines(node) > 60}
    assert long == set(LONG_FUNCTIONS)


def test_functions_have_few_parameters():
    def count(node: ast.FunctionDef) -> int:
        args = node.args
        names = [a.arg for a in (*args.posonlyargs, *args.args, *args.kwonlyargs)]
        return len([name for name in names if name not in ("self", "cls")])

    many = {name for name, node in functions() if count(node) > 8}
    assert many == set(MANY_PARAMETERS)


WITHOUT_TORCH = """
import sys
for name in ("torch", "matplotlib", "skimage", "pytorch_msssim"):
    sys.modules[name] = None
import io, pathlib
import inrcodec
from inrcodec.cli import main
from inrcodec.progressive import stages
from click.testing import CliRunner

folder = pathlib.Path(sys.argv[1])
for path in sorted(folder.glob("*.prc")):
    data = path.read_bytes()
    assert inrcodec.open(data).complete
    picture = inrcodec.decode(data)
    inrcodec.thumbnail(data, 16)
    decoder = inrcodec.ProgressiveDecoder()
    shown = [decoder.feed(data[:60]), decoder.feed(data[60:])]
    assert decoder.complete and shown[-1].size == picture.size
    assert stages(data)[-1].complete
    for command in (["info", str(path)], ["info", "--json", str(path)]):
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 0, result.output
path, first = sys.argv[2] + "/out", str(sorted(folder.glob("*.prc"))[0])
for command in ("decode", "thumbnail"):
    result = CliRunner().invoke(main, [command, first, path + command + ".png"])
    assert result.exit_code == 0, result.output
picture.convert("RGB").save(path + ".png")
result = CliRunner().invoke(main, ["encode", path + ".png", path + ".prc"])
assert result.exit_code == 1 and "pip install torch" in result.output, result.output
assert "Traceback" not in result.output and len(result.output.splitlines()) == 1, result.output
"""


def test_reading_and_decoding_need_neither_torch_nor_plots(tmp_path):
    golden = Path(__file__).parent / "golden"
    command = [sys.executable, "-c", WITHOUT_TORCH, str(golden), str(tmp_path)]
    subprocess.run(command, check=True, cwd=PACKAGE.parent)


def test_the_public_names_are_listed():
    code = "import inrcodec; print(*dir(inrcodec)); help(inrcodec)"
    printed = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    for name in ("encode", "decode", "open", "thumbnail", "ProgressiveDecoder"):
        assert name in printed.splitlines()[0].split()
    assert "encode(" in printed and "decode(" in printed


def test_help_is_everywhere():
    for command in ([], ["encode"], ["decode"], ["info"], ["thumbnail"], ["progressive"], ["demo"]):
        result = subprocess.run(
            [sys.executable, "-m", "inrcodec", *command, "-h"],
            check=True,
            capture_output=True,
            text=True,
        )
        assert result.stdout.startswith("Usage: inrcodec")


def test_floors_are_named_once():
    rooms = [room for floor in FLOORS for room in floor]
    assert len(rooms) == len(set(rooms)) and all(a != b for a, b in pairwise(rooms))
