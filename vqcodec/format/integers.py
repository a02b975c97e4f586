"""Integers as .vq files store them (FORMAT.md, section 1)."""

from vqcodec.errors import FormatError, TruncatedError


def varint_bytes(value: int) -> bytes:
    """Encodes an integer in base 128, the lowest group of 7 bits first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def check_range(name: str, value: int, low: int, high: int) -> None:
    """Checks a field that will be written.

    Raises:
        ValueError: It is not in low..high.
    """
    if not low <= value <= high:
        raise ValueError(f"{name} must be in {low}..{high}, not {value}")


class ByteReader:
    """A position in bytes that moves on as they are read.

    All its methods raise `TruncatedError` where the bytes end too early.

    Args:
        data: the bytes.
        position: index of the first byte to read.
        name: name of the bytes in messages.
    """

    def __init__(self, data: bytes, position: int = 0, *, name: str = "file") -> None:
        self.data = data
        self.position = position
        self.name = name

    def take(self, count: int) -> bytes:
        """Reads `count` bytes."""
        taken = self.data[self.position : self.position + count]
        if len(taken) < count:
            raise TruncatedError(f"{self.name} ends after {len(self.data)} bytes, expected at least {self.position + count}")
        self.position += count
        return taken

    def byte(self) -> int:
        """Reads one byte."""
        return self.take(1)[0]

    def u16(self) -> int:
        """Reads a little-endian integer of 2 bytes."""
        return int.from_bytes(self.take(2), "little")

    def u32(self) -> int:
        """Reads a little-endian integer of 4 bytes."""
        return int.from_bytes(self.take(4), "little")

    def varint(self, max_bytes: int = 4) -> int:
        """Reads an integer in base 128.

        Raises:
            FormatError: It takes more bytes than it needs, or more than `max_bytes`.
        """
        value = 0
        for number in range(max_bytes):
            byte = self.byte()
            value |= (byte & 0x7F) << 7 * number
            if byte < 0x80:
                if byte == 0 and number > 0:
                    raise FormatError("an integer is not stored in its shortest form")
                return value
        raise FormatError(f"an integer takes more than {max_bytes} bytes")
