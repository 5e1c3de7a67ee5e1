"""The command line: thin over the library, which is imported only when a command needs it."""

from __future__ import annotations

from inrcodec.cli.main import main

__all__ = ["main"]
