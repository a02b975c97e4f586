"""Builds PNGs chunk by chunk, since Pillow does not write all that PNG allows."""

import struct
import zlib


def chunk(kind: bytes, body: bytes) -> bytes:
    """Returns a chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(depth: int, colour_type: int, samples: bytes, transparent: bytes = b"", *, before: bytes = b"", after: bytes = b"") -> bytes:
    """Returns a PNG of 2x1 pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, depth, colour_type, 0, 0, 0))
    transparency = chunk(b"tRNS", transparent) if transparent else b""
    pixels = chunk(b"IDAT", zlib.compress(b"\0" + samples))
    return b"\x89PNG\r\n\x1a\n" + header + before + transparency + pixels + after + chunk(b"IEND", b"")
