"""The errors of the library: each says in one line what is wrong and what to do."""

from __future__ import annotations


class CodecError(Exception):
    """Base of every error that bad input or an unreachable target causes."""


class FormatError(CodecError):
    """The bytes are not a readable .prc file: damaged, cut short or of another version."""


class ImageError(CodecError):
    """The picture cannot be encoded: unreadable, of an unsupported mode, empty or too large."""


class TargetError(CodecError):
    """The requested rate or quality cannot be reached; the message says what can be."""


class MissingPackageError(CodecError):
    """A package that this task needs is not installed; the message says how to install it."""
