"""Checks that alpha plane, colour profile, EXIF and XMP come back from chunks, and that chunks that a file must not have are refused."""

import zlib
from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import make_picture
from vqcodec.errors import FormatError
from vqcodec.format.chunks import Chunk
from vqcodec.format.container import MAX_ICC_BYTES, CoderKind, ColourMode, Container, Header, MapEntry
from vqcodec.images.metadata import Metadata, read_metadata, write_metadata
from vqcodec.images.picture import Picture

PIXELS = make_picture(20, 12)
ALPHA = PIXELS[:, :, 1]


def make_file(chunks: tuple[Chunk, ...], mode: ColourMode = ColourMode.RGB) -> Container:
    """Returns a file of 20x12 pixels with these chunks."""
    return Container(Header(1, b"abcd", 20, 12, mode, (MapEntry(CoderKind.RAW, 0, 0, 0),), 0), (b"",), chunks)


def test_alpha_plane_and_profile_come_back() -> None:
    assert write_metadata(Picture(PIXELS)) == () and read_metadata(make_file(())) == Metadata()
    chunks = write_metadata(Picture(PIXELS, None, b"profile", b"exif", b"xmp"))
    assert [chunk.kind for chunk in chunks] == [b"iCCP", b"eXIF", b"xMPP"]
    assert read_metadata(make_file(chunks)) == Metadata(None, b"profile", b"exif", b"xmp")
    chunks = write_metadata(Picture(PIXELS, ALPHA, b"profile"))
    assert [chunk.kind for chunk in chunks] == [b"ALPH", b"iCCP"]
    metadata = read_metadata(make_file(chunks, ColourMode.RGBA))
    assert np.array_equal(metadata.alpha, ALPHA) and metadata.icc_profile == b"profile"  # type: ignore[arg-type]


def test_a_cut_file_is_opaque_where_its_alpha_plane_is_lost() -> None:
    with pytest.raises(FormatError, match="colour mode RGBA without an alpha plane"):
        read_metadata(make_file((), ColourMode.RGBA))
    alpha = read_metadata(replace(make_file((), ColourMode.RGBA), is_truncated=True)).alpha
    assert alpha is not None and alpha.shape == (12, 20) and (alpha == 255).all()


def test_the_largest_profile_comes_back_and_a_larger_one_is_refused() -> None:
    profile = bytes(MAX_ICC_BYTES)
    assert read_metadata(make_file(write_metadata(Picture(PIXELS, None, profile)))).icc_profile == profile
    with pytest.raises(FormatError, match=f"cut or larger than {MAX_ICC_BYTES} bytes"):
        read_metadata(make_file((Chunk(b"iCCP", zlib.compress(profile + b"\0")),)))


@pytest.mark.parametrize(("kind", "name"), [(b"iCCP", "colour profile"), (b"eXIF", "EXIF"), (b"xMPP", "XMP")])
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"??", "cannot be inflated"),
        (zlib.compress(b"profile")[:-1], f"is cut or larger than {16 << 20} bytes"),
        (zlib.compress(bytes((16 << 20) + 1)), f"is cut or larger than {16 << 20} bytes"),
        (zlib.compress(b"profile") + b"xy", "is followed by 2 bytes, expected none"),
    ],
)
def test_damaged_metadata_are_refused(kind: bytes, name: str, body: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=f"^{name} {message}"):
        read_metadata(make_file((Chunk(kind, body),)))


def test_unknown_chunks_are_left_out_unless_they_are_critical() -> None:
    assert read_metadata(make_file((Chunk(b"newx", b"?"),))) == Metadata()
    with pytest.raises(FormatError, match="metadata of the unknown type NEWX"):
        read_metadata(make_file((Chunk(b"NEWX", b"?"),)))
