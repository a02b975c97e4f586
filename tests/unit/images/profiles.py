"""Colours and profiles of tests."""

import struct
from typing import Final

from PIL import ImageCms

from vqcodec.images.colour import D65, Colours

DISPLAY_P3: Final = Colours(((0.68, 0.32), (0.265, 0.69), (0.15, 0.06)), D65, "srgb")
LITTLECMS_SRGB: Final = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LITTLECMS_LAB: Final = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


def cmyk_profile() -> bytes:
    """Returns a small profile of a printer, whose table takes CMYK to Lab: the paper is white, and all ink is black."""
    corners = [(c, m, y, k) for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)]
    grid = b""
    for c, m, y, k in corners:
        light = (1 - k) * (1 - (c + m + y) / 3)
        grid += bytes([round(255 * light), 128, 128])
    identity = bytes(range(256))
    matrix = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + identity * 4 + grid + identity * 3
    table += bytes(-len(table) % 4)
    text = b"text" + bytes(4) + b"CC0\0"
    desc = b"desc" + bytes(4) + struct.pack(">I", 5) + b"CMYK\0" + bytes(78)
    desc += bytes(-len(desc) % 4)
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    tags = {b"desc": desc, b"cprt": text, b"wtpt": white, b"A2B0": table}
    start, entries, bodies = 128 + 4 + 12 * len(tags), b"", b""
    for name, body in tags.items():
        entries += name + struct.pack(">II", start + len(bodies), len(body))
        bodies += body
    head = struct.pack(">I4sI4s4s4s", start + len(bodies), bytes(4), 0x02400000, b"prtr", b"CMYK", b"Lab ")
    head += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + white[8:] + bytes(48)
    return head + struct.pack(">I", len(tags)) + entries + bodies
