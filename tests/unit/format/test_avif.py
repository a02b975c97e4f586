"""Checks that the size of an AVIF file is known by its AV1 stream, whatever the boxes around that say."""

import struct
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from tests.conftest import make_picture
from vqcodec.errors import FormatError
from vqcodec.format.avif import check_avif_size


def avif(width: int, height: int, mode: str = "RGB", **options: Any) -> bytes:
    out = BytesIO()
    Image.fromarray(make_picture(width, height)).convert(mode).save(out, "AVIF", **{"speed": 10, "quality": 30} | options)
    return out.getvalue()


FILE = avif(37, 20)


FRAME = FILE.index(b"\x12\x00\x0a") + 4 + FILE[FILE.index(b"\x12\x00\x0a") + 3]
"""Where the frame starts."""


def with_units(units: bytes) -> bytes:
    """Returns an AVIF file with other units of its stream before the frame, which is cut by as many bytes."""
    assert FILE[FRAME] == 0x32 and FILE[FRAME + 1] < 0x80
    return FILE[:FRAME] + units + bytes([FILE[FRAME], FILE[FRAME + 1] - len(units)]) + FILE[FRAME + 2 : -len(units)]


def with_size_box(data: bytes, width: int, height: int) -> bytes:
    """Returns an AVIF file whose boxes say another size than its stream."""
    start = data.index(b"ispe") + 8
    return data[:start] + struct.pack(">II", width, height) + data[start + 8 :]


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 2), (16, 16), (37, 20), (257, 3)])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_sizes(size: tuple[int, int], mode: str, subsampling: str) -> None:
    width, height = size
    data = avif(width, height, mode, subsampling=subsampling)
    check_avif_size(data, width, height)
    for wrong in ((width + 1, height), (width, height + 1)):
        with pytest.raises(FormatError, match=f"^an AVIF layer of {width}x{height} pixels, expected {wrong[0]}x{wrong[1]}$"):
            check_avif_size(data, *wrong)


def test_exif_does_not_count() -> None:
    check_avif_size(avif(37, 20, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0", xmp=b"<x/>"), 37, 20)


def test_the_stream_counts_and_not_the_boxes() -> None:
    """Decoders allocate what the stream says, and scale its picture to what the boxes say."""
    with pytest.raises(FormatError, match="an AVIF layer of 37x20 pixels, expected 8x8"):
        check_avif_size(with_size_box(FILE, 8, 8), 8, 8)


def test_full_sequence_headers() -> None:
    """The header of an ordinary stream states operating points before its size; here it is built by hand for 37x20 pixels."""

    def header(width_bits: int) -> bytes:
        fields = [(1, 3), (0, 1), (0, 1), (0, 1), (1, 1), (1, 5)]
        fields += [(0, 12), (8, 5), (0, 1), (1, 1), (9, 4), (0, 12), (4, 5), (0, 1)]
        fields += [(width_bits - 1, 4), (4, 4), (36, width_bits), (19, 5), (0, 40)]
        bits = "".join(f"{value:0{length}b}" for value, length in fields)
        return int(bits[: len(bits) // 8 * 8], 2).to_bytes(len(bits) // 8, "big")

    place = FILE.index(b"\x12\x00\x0a") + 2
    length = FILE[place + 1]

    def file(body: bytes) -> bytes:
        """Returns the file with another sequence header, which hides the rest of the stream in a frame."""
        left = len(FILE) - place - 2 - len(body)
        frame = b"\x32" + bytes([left - 3 & 0x7F | 0x80, left - 3 >> 7]) + bytes(left - 3)
        return FILE[: place + 1] + bytes([len(body)]) + body + frame

    assert length < 20
    check_avif_size(file(header(6)), 37, 20)
    with pytest.raises(FormatError, match="damaged or not of the simplest structure"):
        check_avif_size(file(header(16)), 37, 20)


@pytest.mark.parametrize("units", [b"\x7a\0", b"\x2a\0"])
def test_padding_and_metadata_do_not_count(units: bytes) -> None:
    check_avif_size(with_units(units), 37, 20)


@pytest.mark.parametrize("units", [b"\x32\0", b"\x1a\0", b"\x02\0", b"\x42\0"], ids=["frame", "header of a frame", "type 0", "tile list"])
def test_a_stream_has_one_frame_and_no_unknown_units(units: bytes) -> None:
    """Libavif 1.3 decodes some of what later versions refuse."""
    for data in (with_units(units), FILE[:FRAME] + b"\x7a" + FILE[FRAME + 1 :]):
        with pytest.raises(FormatError, match="damaged or not of the simplest structure"):
            check_avif_size(data, 37, 20)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "damaged or not of the simplest structure"),
        (b"junk", "damaged or not of the simplest structure"),
        (FILE[:-1], "damaged or not of the simplest structure"),
        (FILE[:200], "damaged or not of the simplest structure"),
        (FILE + struct.pack(">I4s", 8, b"moov"), "damaged or not of the simplest structure"),
        (FILE + FILE, "damaged or not of the simplest structure"),
        (FILE.replace(b"infe\x02", b"infe\x01"), "damaged or not of the simplest structure"),
        (FILE.replace(b"av01Color", b"gridColor"), "damaged or not of the simplest structure"),
        (FILE.replace(b"av01Color", b"mimeColor"), "an AVIF layer without a coded picture, expected one of 37x20 pixels"),
        (FILE.replace(b"\x12\x00\x0a", b"\x12\x00\x7a"), "damaged or not of the simplest structure"),
        (avif(37, 20, save_all=True, append_images=[Image.new("RGB", (37, 20))]), "damaged or not of the simplest structure"),
    ],
)
def test_files_that_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        check_avif_size(data, 37, 20)
    assert "\n" not in str(caught.value)


def test_every_cut_file_is_refused() -> None:
    for length in range(len(FILE)):
        with pytest.raises(FormatError):
            check_avif_size(FILE[:length], 37, 20)


def test_many_small_items_take_no_time() -> None:
    """Items in many pieces, or many items of the same bytes, would multiply the size of the file."""
    box = FILE.index(b"iloc")
    body = bytes(4) + b"\x44\0" + struct.pack(">HHHH", 1, 1, 0, 6000) + struct.pack(">II", 0, len(FILE)) * 6000
    pieces = FILE[: box - 4] + struct.pack(">I4s", 8 + len(body), b"iloc") + body
    body = bytes(4) + b"\x44\0" + struct.pack(">H", 6000) + struct.pack(">HHHII", 1, 0, 1, 8, len(FILE) - 8) * 6000
    items = FILE[: box - 4] + struct.pack(">I4s", 8 + len(body), b"iloc") + body
    for start in (pieces, items):
        rest = FILE[box - 4 + struct.unpack(">I", FILE[box - 4 : box])[0] :]
        grown = len(start) + len(rest) - len(FILE)
        meta = FILE.index(b"meta") - 4
        length = struct.unpack(">I", FILE[meta : meta + 4])[0] + grown
        data = start[:meta] + struct.pack(">I", length) + start[meta + 4 :] + rest
        with pytest.raises(FormatError, match="damaged or not of the simplest structure") as caught:
            check_avif_size(data, 37, 20)
        assert str(caught.value.__cause__) in ("an item in several pieces", "more streams than colours and alpha")
