"""`inrcodec info`: what a file holds."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from inrcodec.cli.options import Command, one_line_errors

if TYPE_CHECKING:
    from inrcodec.prc import PrcFile


@click.command(cls=Command, short_help="Show what a .prc file holds.")
@click.argument("source", metavar="IN.prc")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@one_line_errors
def info(source: str, as_json: bool) -> None:
    """Show what IN.prc holds: its header, its parts, what each layer costs, and its planes.

    A layer's coefficients are multiples of its step; those within its edge of 0 are 0.
    """
    from inrcodec import prc

    file = prc.open(source)
    facts = describe(file)
    click.echo(json.dumps(facts, indent=2) if as_json else _as_text(source, file, facts))


def describe(file: PrcFile) -> dict[str, Any]:
    """The facts of a file as JSON values."""
    header = file.header
    network: dict[str, Any] = asdict(header.network)  # type: ignore[call-overload]
    k, d = sum(header.coefficients), header.network.D
    facts = {
        "width": header.width,
        "height": header.height,
        "channels": network.pop("channels"),
        "bits": header.bits,
        "range": [header.low, header.top],
        "srgb": header.srgb,
        "bytes": file.bytes_read,
        "bpp": 8 * file.bytes_read / (header.width * header.height),
        "complete": file.complete,
        "family": header.family,
        "network": network,
        "macs_per_pixel": header.network.macs_per_pixel,
        "start": "seeded",
        "seed": header.seed,
        "basis": header.basis,
        "D": d,
        "k": k,
        "compaction": d / k,
        "order": file.order or "none",
        "overhead_bytes": file.overhead,
        "parts": [
            {"name": part.name, "offset": part.offset, "bytes": part.size, "coded": part.coded}
            for part in file.parts
        ],
        "layers": _layers(file),
    }
    if "levels" in network:
        facts["planes"] = [
            {
                "level": level,
                "width": plane.shape[1],
                "height": plane.shape[0],
                "largest": int(abs(plane).max()),
                "zeros": int((plane == 0).sum()),
            }
            for level, plane in zip(network["levels"], file.latents, strict=False)
        ]
    return facts


def _layers(file: PrcFile) -> list[dict[str, Any]]:
    header = file.header
    return [
        {
            "basis": basis,
            "parameters": rows * cols,
            "coefficients": len(layer.symbols),
            "bits_per_coefficient": layer.bits_per_coefficient,
            "step": layer.model.step_size,
            "edge": layer.model.edge / 64 * layer.model.step_size,
            "zeros": int((layer.symbols == 0).sum()),
        }
        for layer, basis, (rows, cols) in zip(
            file.layers, header.bases, header.network.blocks, strict=False
        )
    ]


def _as_text(source: str, file: PrcFile, facts: dict[str, Any]) -> str:
    kind = {1: "grey", 2: "grey + alpha", 3: "RGB", 4: "RGB + alpha"}[facts["channels"]]
    order = {"listed": "contribution"}.get(facts["order"], facts["order"])
    planes = [
        "  plane  level      size    largest     zeros",
        *(
            f"  {index:>5}  {plane['level']:>5}  {plane['width']:>5}x{plane['height']:<5}"
            f"{plane['largest']:>7}  {plane['zeros']:>8}"
            for index, plane in enumerate(facts.get("planes", []))
        ),
    ]
    lines = [
        f"{source}: {facts['width']}x{facts['height']} {kind}, {facts['bits']} bits a sample",
        f"  {facts['bytes']} bytes, {facts['bpp']:.3f} bpp"
        + ("" if facts["complete"] else "; the rest of the file is missing"),
        f"  {file.header.network.describe()}, "
        f"{facts['macs_per_pixel']:.0f} multiplications per pixel",
        *([f"  bit planes in the order of their {order}"] if order != "none" else []),
        f"  seed {facts['seed']}, basis {facts['basis']}, "
        f"D/k = {facts['D']}/{facts['k']} = {facts['compaction']:.2f}",
        "  part                      bytes",
        *(f"    {part['name']:<22} {part['bytes']:>6}" for part in facts["parts"]),
        "  layer  basis      coefficients  bits/coef.     step     edge   zeros",
        *(
            f"  {index:>5}  {layer['basis']:<9}  {layer['coefficients']:>12}  "
            f"{layer['bits_per_coefficient']:>10.2f}  {layer['step']:>7.4f}  "
            f"{layer['edge']:>7.4f}  {layer['zeros']:>6}"
            for index, layer in enumerate(facts["layers"])
        ),
        *(planes if "planes" in facts else []),
    ]
    return "\n".join(lines)
