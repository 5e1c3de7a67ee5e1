"""Builds the API reference from the docstrings: `python docs/api.py [FOLDER]`, by pdoc."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pdoc

import inrcodec

MODULES = (
    "inrcodec",
    "inrcodec.errors",
    "inrcodec.prc",
    "inrcodec.container.header",
    "inrcodec.l2.quantizer",
    "inrcodec.l2.transform",
    "inrcodec.l2.counter",
    "inrcodec.l2.coding",
    "inrcodec.limits",
    "inrcodec.pranc.reparametrization",
    "inrcodec.pranc.windows",
    "inrcodec.progressive",
    "inrcodec.image",
    "inrcodec.job",
    "inrcodec.optim.clock",
    "inrcodec.families",
    "inrcodec.families.pyramid.settings",
    "inrcodec.families.pyramid.shapes",
    "inrcodec.families.siren.settings",
)
"""What the reference shows; docs/api.md says what of it is stable."""


def build(folder: Path) -> None:
    """Write the pages of all modules into a folder."""
    for name in inrcodec.__all__:  # They load lazily, and pdoc shows what is there.
        setattr(inrcodec, name, getattr(inrcodec, name))
    for module in MODULES:
        import_module(module)
    pdoc.render.configure(docformat="google", math=False, show_source=False)
    # A package brings its modules along; each is taken out, and comes back if it is named.
    named = [spec for name in MODULES for spec in (name, rf"!{name}\..+")]
    pdoc.pdoc(*named, output_directory=folder)
    print(f"{folder / 'index.html'}: {len(MODULES)} modules")


if __name__ == "__main__":
    build(Path(sys.argv[1] if len(sys.argv) > 1 else "build/api"))
