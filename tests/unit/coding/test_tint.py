"""Checks colour layers: their bodies come back, damaged ones are told, and offsets are added as FORMAT.md, section 5, says."""

import tracemalloc
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.conftest import make_picture
from tests.prior_oracle import frequencies
from tests.rans import rans_decode, rans_encode
from vqcodec.coding.tint import GRID_BITS, MAX_OFFSET, MAX_STEP, ColourLayer, grid_size, read_colour_layer
from vqcodec.errors import DesyncError, FormatError


def random_offsets(rows: int, columns: int, seed: int, most: int = MAX_OFFSET) -> NDArray[np.int64]:
    """Returns offsets of all that there may be: those of red and blue are `most` at most from those of green."""
    rng = np.random.default_rng(seed)
    green = rng.integers(-most, most + 1, (rows, columns, 1))
    others = (green + rng.integers(-most, most + 1, (rows, columns, 2))).clip(-MAX_OFFSET, MAX_OFFSET)
    return np.dstack([others[:, :, :1], green, others[:, :, 1:]])


def random_layer(width: int, height: int, grid_bits: int = 4, step: int = 1, seed: int = 0, most: int = MAX_OFFSET) -> ColourLayer:
    return ColourLayer(grid_bits, step, random_offsets(*grid_size(width, height, grid_bits), seed, most))


def expected_values(layer: ColourLayer, painted: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Returns the samples before they are rounded and clamped, computed column by column and row by row in float64."""
    height, width, _ = painted.shape
    rows, columns, _ = layer.offsets.shape
    side = 2**layer.grid_bits
    values = painted.astype(np.float64)
    for channel in range(3):
        levels = layer.offsets[:, :, channel] * float(layer.step)
        middles = (np.arange(rows) + 0.5) * side
        along = np.stack([np.interp(np.arange(height) + 0.5, middles, levels[:, column]) for column in range(columns)], axis=1)
        middles = (np.arange(columns) + 0.5) * side
        values[:, :, channel] += np.stack([np.interp(np.arange(width) + 0.5, middles, line) for line in along])
    return values


def decoded_by_text(body: bytes, rows: int, columns: int) -> NDArray[np.int64]:
    """Returns offsets [rows, columns, 3], by plain Python and the text of FORMAT.md alone."""
    of_channels = [frequencies(np.array([-a * ((k + 1) // 2) for k in range(63)])) for a in body[2:5]]
    tables = [freqs.tolist() for freqs in of_channels for _ in range(rows * columns)]
    values = [(k + 1) // 2 if k % 2 else -(k // 2) for k in rans_decode(body[5:], tables)]
    green, red, blue = np.array(values).reshape(3, rows, columns)
    return np.stack([red + green, green, blue + green], axis=2)


sizes = st.integers(1, 300)


@given(
    width=sizes,
    height=sizes,
    bits=st.sampled_from(GRID_BITS),
    step=st.integers(1, MAX_STEP),
    seed=st.integers(0, 99),
    most=st.integers(0, 31),
)
def test_bodies_come_back(width: int, height: int, bits: int, step: int, seed: int, most: int) -> None:
    layer = random_layer(width, height, bits, step, seed, most)
    back = read_colour_layer(layer.body, width, height)
    assert (back.grid_bits, back.step) == (bits, step) and np.array_equal(back.offsets, layer.offsets)
    assert back.body == layer.body


@pytest.mark.parametrize("most", [0, 1, 4, 31])
def test_the_stream_is_that_of_the_text(most: int) -> None:
    layer = random_layer(70, 90, most=most)
    assert np.array_equal(decoded_by_text(layer.body, 6, 5), layer.offsets)
    assert layer.body[:2] == b"\4\1"


def test_rare_offsets_take_more_bytes() -> None:
    """Zeros take next to nothing, and colours that change together less than those that do not."""
    nothing, grey = np.zeros((20, 20, 3), np.int64), random_offsets(20, 20, 1, 5)
    some = nothing.copy()
    some[3, 4] = 2
    grey[:] = grey[:, :, 1:2]
    lengths = [len(ColourLayer(5, 2, offsets).body) for offsets in (nothing, some, grey, random_offsets(20, 20, 1, 5))]
    assert lengths == sorted(set(lengths)) and lengths[0] <= 8 and lengths[1] < 20 and lengths[2] < 0.5 * lengths[3]


@pytest.mark.parametrize("length", range(5))
def test_bodies_that_are_too_short(length: int) -> None:
    with pytest.raises(FormatError, match=f"^a colour layer of {length} bytes, expected 5 or more$"):
        read_colour_layer(random_layer(16, 16).body[:length], 16, 16)


@pytest.mark.parametrize(
    ("place", "value"), [*product([0], (0, 3, 8, 255)), *product([1], (0, 33, 255)), *product((2, 3, 4), [0])], ids=str
)
def test_fields_out_of_their_range(place: int, value: int) -> None:
    body = bytearray(random_layer(100, 100).body)
    body[place] = value
    cells, step, *decays = body[:5]
    message = (
        rf"a colour layer of cells 2\^{cells}, step {step} and decays \[{', '.join(map(str, decays))}\], expected 2\^4\.\.2\^7, 1\.\.32"
    )
    with pytest.raises(FormatError, match=f"^{message} and 1..255$"):
        read_colour_layer(bytes(body), 100, 100)


@pytest.mark.parametrize("fields", [(4, 1, 1, 1, 1), (7, 32, 255, 255, 255)])
def test_fields_at_the_ends_of_their_range(fields: tuple[int, ...]) -> None:
    """An empty stream says zeros."""
    layer = read_colour_layer(bytes(fields), 200, 100)
    assert (layer.grid_bits, layer.step, layer.offsets.shape) == (*fields[:2], (*grid_size(200, 100, fields[0]), 3))
    assert not layer.offsets.any()


def body_of(symbols: list[int], decays: tuple[int, int, int] = (3, 3, 3)) -> bytes:
    """Returns the body of three symbols a cell, whatever they are, by plain Python."""
    of_channels = [frequencies(np.array([-a * ((k + 1) // 2) for k in range(63)])).tolist() for a in decays]
    tables = [freqs for freqs in of_channels for _ in range(len(symbols) // 3)]
    return bytes([4, 1, *decays]) + rans_encode(symbols, tables)


@pytest.mark.parametrize(
    ("symbols", "offsets"),
    [([61, 0, 0], [31, 31, 31]), ([62, 0, 0], [-31, -31, -31]), ([62, 61, 1], [0, -31, -30]), ([0, 62, 61], [-31, 0, 31])],
)
def test_symbols_of_one_cell(symbols: list[int], offsets: list[int]) -> None:
    assert read_colour_layer(body_of(symbols), 16, 9).offsets.ravel().tolist() == offsets


@pytest.mark.parametrize(("symbols", "most"), [([61, 1, 0], 32), ([61, 0, 61], 62), ([62, 2, 0], 32), ([60, 0, 4], 32)])
def test_offsets_out_of_their_range(symbols: list[int], most: int) -> None:
    with pytest.raises(FormatError, match=f"^a colour layer with an offset of {most}, expected 31 at most$"):
        read_colour_layer(body_of(symbols), 9, 16)


def test_streams_that_are_damaged() -> None:
    body = random_layer(100, 100).body
    with pytest.raises(DesyncError, match="ends with a zero byte"):
        read_colour_layer(body + b"\0", 100, 100)
    for wrong in (body + b"\1", body[:-4], body[:-1] + bytes([body[-1] ^ 1])):
        with pytest.raises(FormatError):
            read_colour_layer(wrong, 100, 100)
    for width, height in [(90, 90), (110, 130)]:
        with pytest.raises(FormatError):
            read_colour_layer(body, width, height)


def test_known_values_on_a_flat_picture() -> None:
    """Four cells of 16 pixels in a row: pixels 7 and 8 lie half a pixel beside the middle of the first, 23 and 24 beside the second."""
    offsets = np.zeros((1, 4, 3), np.int64)
    offsets[0, :, 0], offsets[0, :, 1], offsets[0, :, 2] = (4, -4, 4, 0), (0, 0, 8, 8), -31
    picture = ColourLayer(4, 8, offsets).added_to(np.full((5, 64, 3), 100, np.uint8))
    assert (picture == picture[0]).all()
    red, green, blue = picture[0].astype(int).T
    assert (blue == 0).all(), "100 - 31 * 8 is clamped."
    assert (red[:8] == 132).all() and red[8:24].tolist() == list(range(130, 68, -4)) and red[24:40].tolist() == list(range(70, 132, 4))
    assert red[40:56].tolist() == list(range(131, 99, -2)) and (red[56:] == 100).all()
    assert (green[:24] == 100).all() and green[24:40].tolist() == list(range(102, 164, 4)) and (green[40:] == 164).all()


def test_halves_are_rounded_up() -> None:
    """In the middle between cells of 0 and 1 the surface is 0.5 -/+ 1/32; with columns that cancel it, exactly 0.5."""
    offsets = np.array([[[0] * 3, [1] * 3], [[1] * 3, [0] * 3]])
    picture = ColourLayer(4, 1, offsets).added_to(np.full((32, 32, 3), 7, np.uint8))
    values = expected_values(ColourLayer(4, 1, offsets), np.full((32, 32, 3), 7, np.uint8))
    assert np.array_equal(picture, np.floor(values + 0.5)) and picture[0, 0, 0] == 7 and picture[0, 31, 0] == 8


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (16, 16), (17, 16), (33, 95), (31, 300), (130, 257)])
@pytest.mark.parametrize("bits", GRID_BITS)
def test_offsets_are_interpolated_linearly(size: tuple[int, int], bits: int) -> None:
    layer, painted = random_layer(*size, bits, step=5), make_picture(*size)
    before = painted.copy()
    picture = layer.added_to(painted)
    assert picture.dtype == np.uint8 and picture.shape == painted.shape and np.array_equal(painted, before)
    assert np.abs(picture - expected_values(layer, painted).clip(0, 255)).max() < 0.501


def test_one_cell_moves_all_pixels_alike() -> None:
    painted = make_picture(13, 16)
    picture = ColourLayer(4, 3, np.array([[[1, -2, 0]]])).added_to(painted)
    assert np.array_equal(picture, (painted.astype(int) + np.array([3, -6, 0])).clip(0, 255))


def test_zeros_change_nothing() -> None:
    painted = make_picture(70, 50)
    assert np.array_equal(ColourLayer(5, 32, np.zeros((2, 3, 3), np.int64)).added_to(painted), painted)


@pytest.mark.parametrize("height", [255, 256, 257, 600])
def test_strips_give_the_picture_of_one_pass(monkeypatch: pytest.MonkeyPatch, height: int) -> None:
    layer, painted = random_layer(40, height, step=7), make_picture(40, height)
    strips = layer.added_to(painted)
    monkeypatch.setattr("vqcodec.coding.tint._STRIP_PX", height)
    assert np.array_equal(strips, layer.added_to(painted))


def test_a_long_strip_needs_no_more_memory_than_its_pixels() -> None:
    layer = ColourLayer(4, 2, np.ones((1, 65536, 3), np.int64))
    painted = np.zeros((1, 1 << 20, 3), np.uint8)
    tracemalloc.start()
    assert (layer.added_to(painted) == 2).all()
    assert tracemalloc.get_traced_memory()[1] < 150 * painted.shape[1]
    tracemalloc.stop()
