"""Limits on bytes, and on pixels: those of the caller, and what is told or refused where the caller sets none (FORMAT.md, section 9)."""

from typing import BinaryIO, Final

from vqcodec.checks import check_at_least
from vqcodec.errors import LimitExceededError
from vqcodec.format.container import MAX_FILE_BYTES, MAX_PIXELS, Header, Part
from vqcodec.format.layers import Layers

MANY_PIXELS: Final = 89_478_485
"""Pixels above which a picture is told to be large, as by Pillow (`MAX_IMAGE_PIXELS`)."""

PIXELS_PER_BYTE: Final = 8000
"""Most pixels a byte of a .vq file of more than `MANY_PIXELS` pixels, where no limit is set: ten times those of quality 1."""

_PIECE_BYTES: Final = 1 << 22
"""Bytes that are read at a time, since memory for as many is taken before they are read."""


def read_to_end(file: BinaryIO) -> bytes:
    """Returns the rest of a file or stream, of which nobody may know how long it is.

    Raises:
        LimitExceededError: It has more than `MAX_FILE_BYTES` bytes.
    """
    pieces, left = [], MAX_FILE_BYTES + 1
    while piece := file.read(min(left, _PIECE_BYTES)):
        pieces.append(piece)
        left -= len(piece)
    if left == 0:
        raise LimitExceededError(f"larger than {MAX_FILE_BYTES} bytes")
    return b"".join(pieces)


def check_max_pixels(max_pixels: object) -> None:
    """Checks an argument that limits pixels.

    Raises:
        TypeError, ValueError: It is neither None nor a whole number of at least 1.
    """
    if max_pixels is not None:
        check_at_least("max_pixels", max_pixels, 1)


def allowed_pixels(max_pixels: int | None) -> int:
    """Returns the most pixels that a picture may have, given a caller's limit or None."""
    return MAX_PIXELS if max_pixels is None else min(max_pixels, MAX_PIXELS)


def size_note(width: int, height: int, max_pixels: int | None) -> str:
    """Returns what is to be told of a picture's size, where the caller has set no limit; empty if it is not large."""
    if max_pixels is not None or width * height <= MANY_PIXELS:
        return ""
    return f"{width}x{height} pixels take much time and memory; --max-pixels (max_pixels) says how many are let in"


def check_file_size(width: int, height: int, num_bytes: int, max_pixels: int | None) -> None:
    """Checks the size that the header of a .vq file of `num_bytes` bytes states.

    Raises:
        LimitExceededError: It is above the caller's limit; or no limit is set, it is above `MANY_PIXELS`, and the file has fewer bytes than
            any photo of that size.
    """
    _check_pixels(width * height, f"image of {width}x{height} pixels", num_bytes, max_pixels)


def check_part_size(part: Part, header: Header, layers: Layers, num_bytes: int, max_pixels: int | None) -> None:
    """Checks what is decoded for a part of the picture of a .vq file of `num_bytes` bytes.

    That is the part itself; of the exact patches that it overlaps all pixels together, since each is decoded as a whole; or the whole
    picture, where an alpha plane or an AVIF picture is decoded. The largest of these counts, so that no part is refused of a picture that
    is let in as a whole.

    Args:
        part: rows and columns in pixels of the whole picture.
        header: header of the file.
        layers: layers that are decoded.
        num_bytes: length of the file.
        max_pixels: the caller's limit, or None.

    Raises:
        LimitExceededError: There are too many pixels, as for `check_file_size`.
    """
    if layers.avif is not None or header.mode.has_alpha:
        check_file_size(header.width, header.height, num_bytes, max_pixels)
        return
    rows, columns = part
    check_file_size(columns.stop - columns.start, rows.stop - rows.start, num_bytes, max_pixels)
    exact = sum(width * height for width, height in (patch.size for patch in layers.within(part).patches))
    _check_pixels(exact, f"region that overlaps exact patches of {exact} pixels", num_bytes, max_pixels)


def _check_pixels(pixels: int, found: str, num_bytes: int, max_pixels: int | None) -> None:
    if pixels > allowed_pixels(max_pixels):
        raise LimitExceededError(f"{found}, expected {allowed_pixels(max_pixels)} at most")
    if max_pixels is None and pixels > max(MANY_PIXELS, PIXELS_PER_BYTE * num_bytes):
        raise LimitExceededError(
            f"{found} in {num_bytes} bytes, expected at most {MANY_PIXELS} pixels in so few; --max-pixels (max_pixels) {pixels} lets it in"
        )
