"""Priors by the kernels alone give the numbers of the oracle, by every set of instructions and any number of threads."""

import ctypes
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.prior_oracle import coding_order, prior_frequencies
from tests.rans import rans_decode, rans_encode
from vqcodec.nn import kernels
from vqcodec.nn.configs import PriorConfig
from vqcodec.nn.prior.kernel_layers import kernel_layers
from vqcodec.nn.prior.native import NativePrior, Tiles

pytestmark = pytest.mark.skipif(kernels.library() is None, reason="the package was built without a C compiler")

SETS = [name for name in kernels.instruction_sets() if kernels.library_for(name) is not None]
Arrays = dict[str, NDArray[Any]]


def random_config(rng: np.random.Generator) -> PriorConfig:
    """Draws a small shape, seldom one of whole vectors."""
    maps = int(rng.integers(4))
    return PriorConfig(
        codebook_size=int(rng.integers(2, 70)),
        slope=int(rng.integers(1, 3)),
        channels=int(rng.integers(2, 22)),
        blocks=int(rng.integers(1, 4)),
        columns=int(rng.integers(1, 4)),
        embedding_dim=int(rng.integers(1, 10)),
        heads=0 if maps else int(rng.integers(3)),
        head_dim=int(rng.integers(2, 20)),
        earlier_maps=maps,
        condition_channels=int(rng.integers(2, 12)),
        condition_blocks=(int(rng.integers(3)), int(rng.integers(2))),
    )


def random_integers(config: PriorConfig, rng: np.random.Generator) -> Arrays:
    """Draws parameters: of each tensor small ones, or ones up to the limits of its format, at which everything is clipped."""

    def drawn(largest: int, shape: tuple[int, ...], dtype: type) -> NDArray[Any]:
        limit = int(rng.choice([largest // 20 + 1, largest]))
        return rng.integers(-limit, limit + 1, shape).astype(dtype)

    integers: Arrays = {}
    for layer in kernel_layers(config):
        integers[f"{layer.name}.weight"] = drawn(127, layer.shape, np.int8)
        integers[f"{layer.name}.weight_bits"] = rng.integers(3, 13, layer.shape[0]).astype(np.int8)
        integers[f"{layer.name}.bias"] = drawn(1023 if layer.name == "head" else 32767, layer.shape[:1], np.int16)
    table = (config.codebook_size, config.embedding_dim)
    for name in ["embedding", *(f"condition.embeddings.{n}" for n in range(config.earlier_maps))]:
        integers[f"{name}.weight"] = drawn(127, table, np.int8)
    if config.heads:
        integers["attention.position"] = drawn(32767, (2, 32, config.channels), np.int16)
    return integers


@dataclass
class Case:
    """Tiles of groups, their codes, and what the oracle says of each group's codes in their order: codes and frequencies."""

    tiles: Tiles
    codes: list[NDArray[np.int64]]
    expected: list[tuple[list[int], list[NDArray[np.int64]]]]
    sharpness: int = 16

    @property
    def streams(self) -> list[bytes]:
        return [rans_encode(codes, [table.tolist() for table in tables]) for codes, tables in self.expected]


def make_case(
    config: PriorConfig, integers: Arrays, rng: np.random.Generator, sizes: Sequence[Sequence[tuple[int, int]]], sharpness: int = 16
) -> Case:
    """Draws codes of tiles, given by the (h, w) of each tile in each group, and asks the oracle."""
    shapes = [shape for group in sizes for shape in group]
    tiles = Tiles(shapes, [len(group) for group in sizes], [earlier_of(config, shape, rng) for shape in shapes])
    codes = [rng.integers(config.codebook_size, size=shape) for shape in shapes]
    return Case(tiles, codes, expected_of(config, integers, tiles, codes, sharpness), sharpness)


def earlier_of(config: PriorConfig, shape: tuple[int, int], rng: np.random.Generator) -> list[NDArray[np.int64]]:
    sizes = [(shape[0] // 2, shape[1] // 2), shape, shape][: config.earlier_maps]
    return [rng.integers(config.codebook_size, size=size) for size in sizes]


def expected_of(
    config: PriorConfig, integers: Arrays, tiles: Tiles, codes: Sequence[NDArray[np.int64]], sharpness: int = 16
) -> list[tuple[list[int], list[NDArray[np.int64]]]]:
    """Returns codes and frequencies of each group in the order of FORMAT.md, section 4: step by step, tile by tile, by rising row."""
    groups, first = [], 0
    for size in tiles.group_sizes:
        entries = []
        for number in range(first, first + size):
            tables = prior_frequencies(asdict(config), integers, list(tiles.earlier[number]), codes[number], sharpness)
            for (row, column), table in zip(coding_order(*tiles.shapes[number], config.slope), tables, strict=True):
                entries.append((column + config.slope * row, number, row, int(codes[number][row, column]), table))
        entries.sort(key=lambda entry: entry[:3])
        groups.append(([entry[3] for entry in entries], [entry[4] for entry in entries]))
        first += size
    return groups


def shares_of(prior: NativePrior, case: Case, threads: int) -> NDArray[np.uint32]:
    """Returns frequency and sum of those before of each code, as the kernels find them."""
    nothing = np.zeros(len(case.expected), np.int64)
    shares = np.empty((sum(codes.size for codes in case.codes), 2), np.uint32)
    prior._run(case.tiles, case.codes, nothing.astype(np.uint32), nothing, shares, threads)
    return shares


def check(config: PriorConfig, integers: Arrays, case: Case, kernels_: ctypes.CDLL | None, threads: int) -> None:
    prior = NativePrior(config, integers, kernels_).sharpened(case.sharpness)
    expected = [
        (int(table[code]), int(table[:code].sum())) for codes, tables in case.expected for code, table in zip(codes, tables, strict=True)
    ]
    assert np.array_equal(shares_of(prior, case, threads), np.array(expected))
    streams = case.streams
    assert prior.encode(case.tiles, case.codes, threads=threads) == streams
    codes, left = prior.decode(case.tiles, streams, threads=threads)
    assert all(np.array_equal(one, other) for one, other in zip(codes, case.codes, strict=True)) and not any(left)


def check_random(seed: int) -> None:
    """Checks a random prior on random tiles, by one set of instructions and one number of threads, which all take their turns."""
    rng = np.random.default_rng(seed)
    config = random_config(rng)
    integers = random_integers(config, rng)
    scale = 2 if config.earlier_maps else 1
    sizes = [[(scale * int(rng.integers(1, 4)), scale * int(rng.integers(1, 4))) for _ in range(rng.integers(1, 3))] for _ in range(2)]
    case = make_case(config, integers, rng, sizes, (16, 1, 15, 20, 40, 255)[seed % 6])
    check(config, integers, case, kernels.library_for(SETS[seed % len(SETS)]), (1, 2, 4)[seed // len(SETS) % 3])


@pytest.mark.parametrize("first", range(0, 100, 25))
def test_random_priors_are_those_of_the_oracle(first: int) -> None:
    for seed in range(first, first + 25):
        check_random(seed)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(100, 1000, 100))
def test_many_more_random_priors_are_those_of_the_oracle(first: int) -> None:
    for seed in range(first, first + 100):
        check_random(seed)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_tiles_of_all_sizes_are_walked_by_any_number_of_threads(name: str, threads: int) -> None:
    rng = np.random.default_rng(7)
    for maps in (0, 2):
        config = PriorConfig(
            codebook_size=40,
            channels=20,
            blocks=2,
            embedding_dim=7,
            heads=0 if maps else 3,
            head_dim=9,
            earlier_maps=maps,
            condition_channels=9,
            condition_blocks=(1, 1),
        )
        integers = random_integers(config, rng)
        case = make_case(config, integers, rng, [[(12, 16), (12, 2), (2, 16), (2, 2)], [(2, 2)], [(18, 4), (16, 16)]])
        check(config, integers, case, kernels.library_for(name), threads)


@pytest.mark.parametrize("name", SETS)
def test_any_stream_decodes_as_the_specification_says(name: str) -> None:
    """Streams of random bytes, too short and too long ones: the decoder never ends early, and says whether something is left."""
    rng = np.random.default_rng(3)
    config = PriorConfig(codebook_size=21, channels=9, blocks=1, embedding_dim=5, heads=2, head_dim=6)
    integers = random_integers(config, rng)
    prior = NativePrior(config, integers, kernels.library_for(name))
    tiles = Tiles([(5, 6)] * 4, [1] * 4, [[]] * 4)
    streams = [b"", b"\x01", bytes(rng.integers(1, 256, 9, np.uint8)), bytes(rng.integers(1, 256, 400, np.uint8))]
    codes, left = prior.decode(tiles, streams, threads=2)
    assert left == [False, left[1], left[2], True]
    assert not codes[0].any() and all(0 <= int(tile.min()) and int(tile.max()) < 21 for tile in codes)
    tables = [tables for _, tables in expected_of(config, integers, tiles, codes)]
    for stream, tile, of_tile, is_left in zip(streams, codes, tables, left, strict=True):
        in_order = [int(tile[place]) for place in coding_order(5, 6, config.slope)]
        try:
            assert rans_decode(stream, [table.tolist() for table in of_tile]) == in_order and not is_left
        except AssertionError:
            assert is_left


@pytest.mark.parametrize("name", SETS)
def test_products_are_exact_for_any_number_of_rows_and_outputs(name: str) -> None:
    rng = np.random.default_rng(1)
    library = kernels.library_for(name)
    assert library is not None
    lanes = kernels.constant(library, "lanes")
    for outputs, inputs in [(2, 2), (17, 5), (64, 128), (200, 67)]:
        config = PriorConfig(codebook_size=outputs, channels=inputs, blocks=1, embedding_dim=2)
        integers = random_integers(config, rng)
        weight = integers["head.weight"]
        weight[0], weight[1] = 127, -127
        prior = NativePrior(config, integers, library)
        room = -(-outputs // lanes) * lanes
        for rows in range(1, 15):
            values = rng.integers(-127, 128, (rows, inputs)).astype(np.int8)
            values[0], values[-1] = 127, -127
            out = np.full((rows, room), -1, np.int32)
            assert library.prior_products(prior._prior, 1, values.ctypes.data, rows, inputs, out.ctypes.data)
            assert np.array_equal(out[:, :outputs], values.astype(np.int64) @ weight.astype(np.int64).T)
            assert not out[:, outputs:].any()


@pytest.fixture
def small() -> tuple[PriorConfig, Arrays]:
    config = PriorConfig(codebook_size=8, channels=4, blocks=1, embedding_dim=2, earlier_maps=1, condition_channels=4)
    return config, random_integers(config, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("first.weight", None, "there is no tensor first.weight, expected one of shape [4, 5, 3, 2]"),
        (
            "first.weight",
            np.zeros((4, 5, 3, 1), np.int8),
            "tensor first.weight is int8 of shape [4, 5, 3, 1], expected int8 of [4, 5, 3, 2]",
        ),
        ("head.bias", np.zeros(8, np.int8), "tensor head.bias is int8 of shape [8], expected int16 of [8]"),
        ("head.bias", np.full(8, 1024, np.int16), "tensor head.bias has values of 1024..1024, expected -1023..1023"),
        ("embedding.weight", np.full((8, 2), -128, np.int8), "tensor embedding.weight has values of -128..-128, expected -127..127"),
        ("head.weight_bits", np.full(8, 2, np.int8), "tensor head.weight_bits has values of 2..2, expected 3..12"),
        ("tail.bias", np.zeros(1, np.int16), "unknown tensors tail.bias"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(
    small: tuple[PriorConfig, Arrays], name: str, value: NDArray[Any] | None, message: str
) -> None:
    config, integers = small
    changed = {key: array for key, array in integers.items() if key != name} | ({} if value is None else {name: value})
    with pytest.raises(ValueError) as error:
        NativePrior(config, changed)
    assert str(error.value) == message


def test_shapes_beyond_what_kernels_take_are_refused() -> None:
    for config, message in [
        (PriorConfig(columns=17), "up to 16 columns"),
        (PriorConfig(earlier_maps=16), "15 maps before"),
        (PriorConfig(codebook_size=2, channels=1100, blocks=1, embedding_dim=1), "dot products could exceed"),
    ]:
        integers = {} if "dot" not in message else random_integers(config, np.random.default_rng(0))
        if integers:
            integers["blocks.0.conv.weight"][:] = 127
        with pytest.raises(ValueError, match=message):
            NativePrior(config, integers)


def test_tiles_that_do_not_fit_are_refused(small: tuple[PriorConfig, Arrays]) -> None:
    prior = NativePrior(*small)
    top, codes = np.zeros((1, 1), np.int64), np.zeros((2, 2), np.int64)
    for tiles, message in [
        (Tiles([(3, 2)], [1], [[top]]), "a tile of 3x2 codes"),
        (Tiles([(66, 2)], [1], [[np.zeros((33, 1), np.int64)]]), "a tile of 66x2 codes"),
        (Tiles([(2, 2)], [1], [[codes]]), "maps before of"),
        (Tiles([(2, 2)], [2], [[top]]), "groups of"),
        (Tiles([(2, 2)], [1], [[top + 8]]), r"codes must be in 0\.\.7"),
        (Tiles([(2, 2)], [1], [[top - 1]]), r"codes must be in 0\.\.7"),
    ]:
        with pytest.raises(ValueError, match=message):
            prior.decode(tiles, [b""], threads=1)
    tiles = Tiles([(2, 2)], [1], [[top]])
    with pytest.raises(ValueError, match="0 streams, expected 1"):
        prior.decode(tiles, [], threads=1)
    with pytest.raises(ValueError, match="codes must be"):
        prior.encode(tiles, [codes + (1 << 32)], threads=1)
    with pytest.raises(ValueError, match="codes of"):
        prior.encode(tiles, [top], threads=1)
