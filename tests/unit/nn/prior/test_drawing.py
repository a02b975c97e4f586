"""Checks what draws codes for the kernels: its errors end a walk, and codes out of range never reach them."""

import signal
import threading

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.nn.prior.test_native import random_integers
from vqcodec.nn import kernels
from vqcodec.nn.configs import PriorConfig
from vqcodec.nn.prior.native import NativePrior, Tiles

pytestmark = pytest.mark.skipif(kernels.library() is None, reason="the package was built without a C compiler")

TILES = Tiles([(3, 4), (20, 9)], [1, 1], [[], []])


@pytest.fixture
def prior() -> NativePrior:
    config = PriorConfig(codebook_size=8, channels=4, blocks=1, embedding_dim=2)
    return NativePrior(config, random_integers(config, np.random.default_rng(0)))


@pytest.mark.parametrize("threads", [1, 3])
def test_every_code_is_asked_for_once(prior: NativePrior, threads: int) -> None:
    asked: list[int] = []

    def draw(logits: NDArray[np.int32]) -> NDArray[np.int64]:
        assert logits.shape[1] == 8
        asked.extend([len(logits)])
        return np.full(len(logits), 5)

    codes = prior.draw(TILES, draw, threads=threads)
    assert sum(asked) == 12 + 180 and [of_tile.shape for of_tile in codes] == TILES.shapes
    assert all((of_tile == 5).all() for of_tile in codes)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_an_error_ends_the_walk(prior: NativePrior, threads: int, error: type[BaseException]) -> None:
    asked: list[int] = []

    def draw(logits: NDArray[np.int32]) -> NDArray[np.int64]:
        asked.append(len(logits))
        if sum(asked) > 20:
            raise error
        return np.zeros(len(logits), np.int64)

    with pytest.raises(error):
        prior.draw(TILES, draw, threads=threads)
    assert sum(asked) < 100


def test_an_interrupt_ends_the_walk_wherever_it_comes(prior: NativePrior) -> None:
    """A signal is sent while a code is drawn, whose handler runs at whatever place the main thread is."""
    main, asked = threading.get_ident(), list[int]()

    def draw(logits: NDArray[np.int32]) -> NDArray[np.int64]:
        asked.append(threading.get_ident())
        if len(asked) == 2:
            signal.pthread_kill(main, signal.SIGINT)
        is_over.wait(5 if len(asked) == 2 else 0)
        return np.zeros(len(logits), np.int64)

    def handle(*_: object) -> None:
        is_over.set()
        raise KeyboardInterrupt

    is_over, before = threading.Event(), signal.signal(signal.SIGINT, handle)
    try:
        with pytest.raises(KeyboardInterrupt):
            prior.draw(Tiles([(32, 32)], [1], [[]]), draw, threads=1)
    finally:
        signal.signal(signal.SIGINT, before)
    assert main not in asked and len(asked) < 30


@pytest.mark.parametrize("drawn", [[8], [-1], [0, 0]])
def test_codes_out_of_range_are_refused(prior: NativePrior, drawn: list[int]) -> None:
    with pytest.raises(ValueError, match=r"codes drawn must be 1 in 0\.\.7"):
        prior.draw(Tiles([(1, 1)], [1], [[]]), lambda _: np.array(drawn), threads=1)
