"""The integers of a file: bytes, little-endian words, variable-length integers, checksums."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from inrcodec.errors import FormatError

CHECKSUM_BYTES = 4
"""Bytes of a CRC-32."""

LIMIT_VARINT_BYTES = 5
"""Most bytes of a variable-length integer."""


class CutShort(FormatError):  # noqa: N818
    """The data ends inside the part that is being read."""


@dataclass
class Fields:
    """Reads one field after another.

    Attributes:
        data: the file, or a prefix of it.
        part: what is being read, for error messages.
        position: offset of the next field, bytes.

    Every method raises CutShort where the data ends.

    >>> fields = Fields(varint(300) + bytes([7]), part="example")
    >>> fields.varint(), fields.u8(), fields.position
    (300, 7, 3)
    """

    data: bytes
    part: str
    position: int = 0

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        if size > len(self.data) - self.position:
            raise CutShort(f"the file is cut short in the {self.part}")
        self.position += size
        return self.data[self.position - size : self.position]

    def u8(self) -> int:
        """An 8-bit integer."""
        return self.take(1)[0]

    def u16(self) -> int:
        """A 16-bit little-endian integer."""
        return int.from_bytes(self.take(2), "little")

    def varint(self) -> int:
        """An unsigned LEB128 integer of at most 5 bytes.

        Raises:
            FormatError: it is longer, or not in its shortest form.
        """
        value = 0
        for i in range(LIMIT_VARINT_BYTES):
            byte = self.u8()
            value |= (byte & 0x7F) << 7 * i
            if byte < 0x80:
                if i and not byte:
                    break
                return value
        raise FormatError(f"the {self.part} is damaged: not a shortest variable-length integer")

    def end_checksum(self, start: int) -> None:
        """The CRC-32 of everything from `start` on.

        Raises:
            FormatError: it does not match.
        """
        end = self.position
        # Taken first: where it is not there yet, nothing is computed.
        found = self.take(CHECKSUM_BYTES)
        if found != checksum(self.data[start:end]):
            raise FormatError(f"the {self.part} is damaged: its checksum does not match")


def varint(value: int) -> bytes:
    """Unsigned LEB128: seven bits a byte, lowest first, bit 7 set in all but the last.

    >>> varint(300).hex()
    'ac02'
    """
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def checksum(data: bytes) -> bytes:
    """The CRC-32 (ISO 3309, as in PNG and zlib), 4 bytes, little-endian.

    >>> checksum(b"123456789").hex()
    '2639f4cb'
    """
    return zlib.crc32(data).to_bytes(4, "little")
