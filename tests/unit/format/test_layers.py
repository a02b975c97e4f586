"""Checks that layers come back from their chunks, and that every rule of FORMAT.md, section 5, is kept."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqcodec.errors import FormatError, LimitExceededError, TruncatedError
from vqcodec.format.chunks import Chunk
from vqcodec.format.layers import (
    AVIF_LAYER,
    COLOUR_LAYER,
    EXACT_LAYER,
    MAX_PATCH_SIDE_PX,
    NO_LAYERS,
    Layers,
    Patch,
    read_layers,
    write_layers,
)


def bitstream(width: int, height: int, rest: bytes = b"rest") -> bytes:
    """Returns what begins like a lossless WebP bitstream of a size."""
    return b"\x2f" + ((width - 1) | (height - 1) << 14).to_bytes(4, "little") + rest


PATCH = Patch(4, 2, 18, bitstream(6, 3))


@given(
    patches=st.lists(
        st.builds(
            lambda left, top, width, height, exact, rest: Patch(left, top, min(exact, width * height), bitstream(width, height, rest)),
            st.integers(0, 20_000),
            st.integers(0, 20_000),
            st.sampled_from([1, 2, 300, MAX_PATCH_SIDE_PX]),
            st.sampled_from([1, 7, 300]),
            st.integers(1, 1 << 24),
            st.binary(max_size=300),
        ),
        max_size=5,
    )
)
def test_patches_come_back(patches: list[Patch]) -> None:
    layers = Layers(tuple(patches))
    assert read_layers(write_layers(layers), 40_000, 40_000) == layers
    assert layers.num_exact == sum(patch.num_exact for patch in patches)


def test_bytes_of_a_patch() -> None:
    (chunk,) = write_layers(Layers((replace(PATCH, left=300),)))
    assert chunk.kind == EXACT_LAYER
    assert chunk.body == bytes.fromhex("AC02 02 12 09 2F 05800000") + b"rest"


def test_layers_stand_in_the_order_in_which_they_count() -> None:
    chunks = write_layers(Layers((PATCH,), b"avif", b"tint"))
    assert [chunk.kind for chunk in chunks] == [COLOUR_LAYER, AVIF_LAYER, EXACT_LAYER]
    assert [chunk.body for chunk in chunks[:2]] == [b"tint", b"avif"]
    assert write_layers(NO_LAYERS) == () and read_layers((), 1, 1) == NO_LAYERS
    assert [len(write_layers(layers)) for layers in (Layers(avif=b""), Layers(tint=b""), Layers((PATCH,)))] == [1, 1, 1]


@given(tint=st.none() | st.binary(max_size=50), patches=st.sampled_from([(), (PATCH,)]))
def test_the_body_of_a_colour_layer_comes_back(tint: bytes | None, patches: tuple[Patch, ...]) -> None:
    """What is in it does not matter here."""
    layers = Layers(patches, tint=tint)
    for chunks in (write_layers(layers), write_layers(layers)[::-1]):
        assert read_layers(chunks, 16, 8) == layers


@pytest.mark.parametrize("size", [(1, 1), (16384, 1), (1, 16384), (16384, 16384), (300, 451)])
def test_size_of_a_patch(size: tuple[int, int]) -> None:
    assert Patch(0, 0, 1, bitstream(*size)).size == size
    with_alpha = bytearray(bitstream(*size))
    with_alpha[4] |= 0x10
    assert Patch(0, 0, 1, bytes(with_alpha)).size == size


@pytest.mark.parametrize(
    ("patches", "error", "message"),
    [
        ([replace(PATCH, left=11)], FormatError, "an exact patch of 6x3 pixels at 11,2, expected one within 16x8"),
        ([replace(PATCH, top=6)], FormatError, "an exact patch of 6x3 pixels at 4,6, expected one within 16x8"),
        ([replace(PATCH, left=1 << 27)], FormatError, "an exact patch of 6x3 pixels at 134217728,2, expected one within 16x8"),
        ([replace(PATCH, bitstream=bitstream(16384, 16384))], FormatError, "an exact patch of 16384x16384 pixels at 4,2, expected one"),
        ([replace(PATCH, num_exact=0)], FormatError, "an exact patch with 0 exact pixels, expected 1..18"),
        ([replace(PATCH, num_exact=19)], FormatError, "an exact patch with 19 exact pixels, expected 1..18"),
        ([PATCH] * 8, LimitExceededError, "exact patches of 144 pixels in all, expected 128 at most, those of the picture"),
        ([replace(PATCH, bitstream=b"\x2e\5\x80\0\0")], FormatError, "an exact patch starts with 2e, expected 2f"),
        ([replace(PATCH, bitstream=b"\x2f\5\x80\0")], FormatError, "an exact patch starts with 2f, expected 2f"),
        ([replace(PATCH, bitstream=b"")], FormatError, "an exact patch starts with nothing, expected 2f"),
    ],
)
def test_patches_that_are_refused(patches: list[Patch], error: type[FormatError], message: str) -> None:
    chunks = write_layers(Layers(tuple(patches)))
    with pytest.raises(error, match=message) as caught:
        read_layers(chunks, 16, 8)
    assert "\n" not in str(caught.value)


def test_patches_may_fill_the_picture_and_touch_its_edges() -> None:
    corner = replace(PATCH, left=10, top=5)
    assert read_layers(write_layers(Layers((corner,) * 7)), 16, 8).patches == (corner,) * 7


def test_an_exact_layer_holds_a_patch() -> None:
    with pytest.raises(FormatError, match="an exact layer without patches"):
        read_layers([Chunk(EXACT_LAYER, b"")], 16, 8)


def test_every_cut_body_is_refused() -> None:
    (chunk,) = write_layers(Layers((PATCH, PATCH)))
    for length in set(range(1, len(chunk.body))) - {len(chunk.body) // 2}:
        with pytest.raises(TruncatedError, match="exact layer ends after"):
            read_layers([Chunk(EXACT_LAYER, chunk.body[:length])], 16, 8)
    with pytest.raises(TruncatedError, match="exact layer ends after"):
        read_layers([Chunk(EXACT_LAYER, chunk.body + b"\0")], 16, 8)


def test_integers_are_in_their_shortest_form() -> None:
    (chunk,) = write_layers(Layers((PATCH,)))
    with pytest.raises(FormatError, match="not stored in its shortest form"):
        read_layers([Chunk(EXACT_LAYER, b"\x84\0" + chunk.body[1:])], 16, 8)


def test_types_of_layers() -> None:
    exact = write_layers(Layers((PATCH,)))
    with pytest.raises(FormatError, match="layers of type EXCT occur twice"):
        read_layers([*exact, *exact], 16, 8)
    with pytest.raises(FormatError, match="layers of type TINT occur twice"):
        read_layers([Chunk(COLOUR_LAYER, b"a"), *exact, Chunk(COLOUR_LAYER, b"b")], 16, 8)
    with pytest.raises(FormatError, match="layers of the unknown type SVGX, without which the file cannot be decoded"):
        read_layers([*exact, Chunk(b"SVGX", b"")], 16, 8)
    assert read_layers([Chunk(b"svgx", b"?"), *exact], 16, 8) == Layers((PATCH,))
    with pytest.raises(FormatError, match="layers of type svgx occur twice"):
        read_layers([Chunk(b"svgx", b"?"), *exact, Chunk(b"svgx", b"!")], 16, 8)
