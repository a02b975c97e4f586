"""Codes chosen by the kernels are the cheapest, by every set of instructions, any number of threads and in any batch."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.nn.prior.test_native import SETS, Arrays, earlier_of, random_integers
from vqcodec.nn import kernels
from vqcodec.nn.configs import PriorConfig
from vqcodec.nn.prior.choice import CANDIDATES, Choice, NextMap
from vqcodec.nn.prior.native import NativePrior, Tiles

pytestmark = pytest.mark.skipif(kernels.library() is None, reason="the package was built without a C compiler")


def make_choice(codebook_size: int, rng: np.random.Generator, dim: int = 5) -> Choice:
    """Draws a choice among vectors of which each occurs twice."""
    codebook = np.tile(rng.normal(size=(codebook_size // 2, dim)), (2, 1)).astype(np.float32)
    return Choice(codebook, 0.002)


def make_next_map(codebook_size: int, rng: np.random.Generator, dim: int = 5) -> NextMap:
    codebook = rng.normal(scale=0.5, size=(codebook_size, dim)).astype(np.float32)
    return NextMap(codebook, rng.integers(-200, 0, codebook_size).astype(np.int32), 0.003, 0.8)


def test_choices_are_the_same_by_all_instructions_threads_and_batches() -> None:
    """Codes come in pairs of equal vectors and logits, of which the first is chosen; and they are coded as known ones are."""
    rng = np.random.default_rng(5)
    shapes, sizes = [(12, 16), (12, 2), (2, 16), (2, 2), (2, 2), (18, 4), (16, 16)], [4, 1, 2]
    for maps in (0, 2):
        sizes_of_layers = {"channels": 20, "blocks": 2, "embedding_dim": 7, "head_dim": 9, "condition_channels": 9}
        config = PriorConfig(**sizes_of_layers, codebook_size=70, heads=0 if maps else 3, earlier_maps=maps, condition_blocks=(1, 1))
        integers = random_integers(config, rng)
        for name in ("head.weight", "head.weight_bits", "head.bias"):
            integers[name][35:] = integers[name][:35]
        choice = make_choice(70, rng)
        tiles = Tiles(shapes, sizes, [earlier_of(config, shape, rng) for shape in shapes])
        places = [rng.uniform(0.1, 1.5, size=(*shape, 6)).astype(np.float32) for shape in shapes]
        for rule in (choice, replace(choice, next_map=make_next_map(70, np.random.default_rng(5)))):
            check_choice(config, integers, tiles, rule, places)


def check_choice(config: PriorConfig, integers: Arrays, tiles: Tiles, choice: Choice, places: list[NDArray[np.float32]]) -> None:
    fastest = NativePrior(config, integers)
    expected, streams = fastest.choose(tiles, choice, places, threads=1, with_streams=True)
    assert streams == fastest.encode(tiles, expected, threads=1)
    assert all(int(codes.max()) < 35 for codes in expected) and len(np.unique(expected[0])) > 4
    for name in SETS:
        prior = NativePrior(config, integers, kernels.library_for(name))
        for threads in (1, 2, 4):
            codes, again = prior.choose(tiles, choice, places, threads=threads, with_streams=threads != 2)
            assert all(np.array_equal(one, other) for one, other in zip(codes, expected, strict=True))
            assert again == ([] if threads == 2 else streams)
    for number, shape in enumerate(tiles.shapes):
        alone = fastest.choose(Tiles([shape], [1], [tiles.earlier[number]]), choice, [places[number]], threads=2, with_streams=False)
        assert np.array_equal(alone[0][0], expected[number])


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("codebook_size", [3, 70, 2060])
def test_codes_are_the_cheapest_with_those_of_the_next_map(name: str, codebook_size: int) -> None:
    """By the formula, of codes that the prior takes for equally probable: of few, and of more than are kept in a table of products."""
    rng = np.random.default_rng(11)
    config = PriorConfig(codebook_size=codebook_size, channels=4, blocks=1, embedding_dim=2, earlier_maps=1, condition_channels=4)
    integers = random_integers(config, rng)
    integers["head.weight"][:], integers["head.bias"][:] = 0, 0
    next_map = make_next_map(codebook_size, rng)
    choice = Choice(rng.normal(size=(codebook_size, 5)).astype(np.float32), 0.002, next_map)
    tiles, places = Tiles([(6, 10)], [1], [[np.zeros((3, 5), np.int64)]]), rng.uniform(0.1, 1.5, size=(6, 10, 6)).astype(np.float32)
    (codes,), _ = NativePrior(config, integers, kernels.library_for(name)).choose(tiles, choice, [places], threads=2, with_streams=False)
    z, weights = places[..., :5].astype(np.float64), places[..., 5:].astype(np.float64)
    costs = 0.5 * np.square(z[..., None, :] - choice.codebook).sum(axis=-1) - 0.5 * np.square(z).sum(axis=-1, keepdims=True)
    candidates = costs.argsort(axis=-1)[..., :CANDIDATES]
    left = z[..., None, :] - choice.codebook[candidates]
    of_next = 0.5 * np.square(next_map.codebook.astype(np.float64)).sum(axis=-1) - left @ next_map.codebook.T.astype(np.float64)
    of_next -= (next_map.half_weight * weights * next_map.logits)[..., None, :]
    best = (np.take_along_axis(costs, candidates, axis=-1) + next_map.share * of_next.min(axis=-1)).argmin(axis=-1)
    assert np.array_equal(codes, np.take_along_axis(candidates, best[..., None], axis=-1)[..., 0])
    assert (best > 0).any()


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_codes_are_in_range_whatever_a_broken_network_asks_for(name: str, bad: float) -> None:
    rng = np.random.default_rng(0)
    config = PriorConfig(codebook_size=3, channels=20, blocks=1, embedding_dim=7, earlier_maps=1, condition_channels=9)
    integers = random_integers(config, rng)
    integers["head.weight"][:], integers["head.bias"][:] = 0, -1000
    prior = NativePrior(config, integers, kernels.library_for(name))
    choice = replace(make_choice(4, rng), codebook=rng.normal(size=(3, 5)).astype(np.float32))
    tiles = Tiles([(6, 6)], [1], [[np.zeros((3, 3), np.int64)]])
    for number, next_map in [(0, None), (5, None), (0, make_next_map(3, rng)), (5, make_next_map(3, rng))]:
        places = rng.normal(size=(6, 6, 6)).astype(np.float32)
        places[1:, 1:, number] = bad
        (codes,), _ = prior.choose(tiles, replace(choice, next_map=next_map), [places], threads=1, with_streams=False)
        assert 0 <= int(codes.min()) and int(codes.max()) < 3


def test_choices_that_do_not_fit_are_refused() -> None:
    rng = np.random.default_rng(0)
    config = PriorConfig(codebook_size=8, channels=4, blocks=1, embedding_dim=2, earlier_maps=1, condition_channels=4)
    prior = NativePrior(config, random_integers(config, rng))
    tiles, places, choice = Tiles([(2, 2)], [1], [[np.zeros((1, 1), np.int64)]]), np.zeros((2, 2, 6), np.float32), make_choice(8, rng)
    for other, of_tiles, message in [
        (make_choice(6, rng), [places], r"a codebook of shape \[6, 5\], expected 8 vectors"),
        (make_choice(8, rng, 4), [places], r"places of .*, expected 5 numbers"),
        (choice, [places, places], "places of"),
    ]:
        with pytest.raises(ValueError, match=message):
            prior.choose(tiles, other, of_tiles, threads=1, with_streams=False)
