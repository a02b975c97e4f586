"""Maps by the compiled kernels alone: the streams, codes and errors of priors in torch, and no torch in their processes."""

import subprocess
import sys

import numpy as np
import pytest

from tests.unit.coding.conftest import make_maps
from vqcodec.coding import prior as in_torch
from vqcodec.coding import streams as coding_streams
from vqcodec.coding.native import decode_natively, draw_natively, encode_natively
from vqcodec.coding.sampling import Sampler
from vqcodec.nn import kernels
from vqcodec.nn.prior.compiled import native_prior_of
from vqcodec.nn.prior.native import NativePrior
from vqcodec.nn.prior.pixelsnail import PixelSnail

pytestmark = pytest.mark.skipif(kernels.library() is None, reason="the package was built without a C compiler")

SIZES = [(1, 1), (33, 40), (65, 70)]


@pytest.fixture(autouse=True)
def torch_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets `vqcodec.coding.prior` work in torch, so that it can be compared with."""
    monkeypatch.setattr(in_torch, "native_prior_of", lambda _: None)


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the kernels work with two threads."""
    monkeypatch.setattr("vqcodec.coding.native.num_own_threads", lambda: 2)


def native_of(prior: PixelSnail) -> NativePrior:
    native = native_prior_of(prior)
    assert native is not None
    return native


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("number", "walked_tiles"), [(0, 1), (0, 3), (0, 24), (1, 32), (2, 3)])
def test_streams_and_codes_are_those_of_torch(
    priors: list[PixelSnail], monkeypatch: pytest.MonkeyPatch, number: int, walked_tiles: int
) -> None:
    monkeypatch.setattr(coding_streams, "WALKED_TILES", walked_tiles)
    sizes = SIZES[: 3 - number]
    pictures = [make_maps(*size, seed) for seed, size in enumerate(sizes)]
    prior, indices, earlier = priors[number], [maps[number] for maps in pictures], [maps[:number] for maps in pictures]
    streams = in_torch.code_by_prior(prior, indices, earlier)
    assert encode_natively(native_of(prior), indices, earlier) == streams
    done: list[float] = []
    of_map = [(codes.shape[0], codes.shape[1]) for codes in indices]
    decoded = decode_natively(native_of(prior), streams, of_map, earlier, on_progress=done.append)
    assert all(result.error is None and np.array_equal(result.indices, codes) for result, codes in zip(decoded, indices, strict=True))
    assert done == sorted(done) and done[-1] == 1.0


@pytest.mark.usefixtures("two_threads")
def test_bad_streams_give_the_codes_and_errors_of_torch(priors: list[PixelSnail]) -> None:
    """Streams that are cut, that go on, that end with a zero byte, or that are of other codes, among good ones."""
    rng = np.random.default_rng(0)
    sizes = [(65, 70)] * 6
    pictures = [make_maps(*size, seed) for seed, size in enumerate(sizes)]
    (good, *_), indices = in_torch.code_by_prior(priors[0], [pictures[0][0]], [[]]), pictures[0][0]
    cut, longer, zero = good[1][:-3], good[1] + b"\7", good[1] + b"\0"
    other = bytes(rng.integers(1, 256, len(good[1]), np.uint8))
    streams = [good, *([good[0], bad, *good[2:]] for bad in (cut, longer, zero, other)), [b"", b"\0", b"", b"\0"]]
    expected = in_torch.decode_by_prior(priors[0], streams, sizes, [[]] * 6)
    decoded = decode_natively(native_of(priors[0]), streams, sizes, [[]] * 6)
    assert [str(result.error) for result in decoded] == [str(result.error) for result in expected]
    assert all(np.array_equal(one.indices, two.indices) for one, two in zip(decoded, expected, strict=True))
    assert decoded[0].error is None and np.array_equal(decoded[0].indices, indices)
    assert "ends with a zero byte" in str(decoded[3].error) and sum(result.error is not None for result in decoded) >= 4


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_codes_are_drawn_as_by_torch(priors: list[PixelSnail], monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    """Draws go on from step to step and batch to batch: any other order of places would give other codes."""
    monkeypatch.setattr(coding_streams, "WALKED_TILES", 6)
    monkeypatch.setattr("vqcodec.coding.native.num_own_threads", lambda: threads)
    pictures = [make_maps(*size, seed) for seed, size in enumerate(SIZES)]
    for number in (0, 1):
        sizes, earlier = [(codes[number].shape[0], codes[number].shape[1]) for codes in pictures], [maps[:number] for maps in pictures]
        drawn = []
        for draw_maps in (in_torch.draw_by_prior, lambda prior, *others: draw_natively(native_of(prior), *others)):
            rng = np.random.default_rng(7)
            drawn.append(draw_maps(priors[number], lambda logits, rng=rng: Sampler(top_k=9).draw(logits, rng), sizes, earlier))
        assert all(np.array_equal(one.indices, other.indices) for one, other in zip(*drawn, strict=True))
        assert len(np.unique(drawn[0][-1].indices)) > 4


def test_changed_parameters_are_seen(priors: list[PixelSnail]) -> None:
    before = native_of(priors[0])
    assert native_of(priors[0]) is before
    weight = priors[0].head.weight
    weight.mul_(0.5)
    assert native_of(priors[0]) is not before
    weight.mul_(2.0)


_PROGRAM = """
import sys
import numpy as np
import vqcodec.coding.native
import vqcodec.nn.prior.native as native
print(native.has_native_priors(), "torch" in sys.modules)
"""


def test_no_torch_is_needed() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
