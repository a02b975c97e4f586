"""Codes chosen in torch are those that the kernels choose, by each set of instructions."""

import ctypes
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.conftest import make_picture
from vqcodec.coding.maps import MapCoding
from vqcodec.encoding.pictures import encode_pictures
from vqcodec.images.picture import Picture
from vqcodec.models.config import read_config
from vqcodec.models.dial import OperatingPoint
from vqcodec.models.model import Model, load_model
from vqcodec.models.registry import DEFAULT_MODEL
from vqcodec.nn import kernels
from vqcodec.nn.prior.native import NativePrior
from vqcodec.nn.prior.pixelsnail import PixelSnail
from vqcodec.rate import torch_choice
from vqcodec.rate.choice import RateDistortionChoice, place_weights

T = TypeVar("T")
SETS = [name for name in kernels.instruction_sets() if kernels.library_for(name) is not None]
needs_kernels = pytest.mark.skipif(kernels.library() is None, reason="the package was built without a C compiler")


@pytest.fixture(scope="module")
def model(models_root: Path) -> Model:
    return load_model(read_config(models_root / "small-test"), "cpu")


def by_torch_and_by_kernels(monkeypatch: pytest.MonkeyPatch, choose: Callable[[], T]) -> Iterator[T]:
    """Yields what a choice gives in torch, and then by each set of instructions and several numbers of threads."""
    available = torch.get_num_threads()
    try:
        for name, threads in [(None, 1), (SETS[0], 1), (SETS[0], 4), *((name, 2) for name in SETS)]:
            with monkeypatch.context() as changed:
                kernels_ = None if name is None else kernels.library_for(name)
                changed.setattr(torch_choice, "native_prior_of", lambda prior, kernels_=kernels_: native_by(prior, kernels_))
                torch.set_num_threads(threads)
                yield choose()
    finally:
        torch.set_num_threads(available)


def native_by(prior: PixelSnail, kernels_: ctypes.CDLL | None) -> NativePrior | None:
    if kernels_ is None:
        return None
    native = NativePrior(prior.config, {name: values.numpy() for name, values in prior.integers().items()}, kernels_)
    return native.sharpened(prior.sharpness)


@needs_kernels
@pytest.mark.parametrize(
    ("number", "is_weighted", "looks_ahead"),
    [(0, True, False), (1, True, False), (1, True, True), (2, True, True), (1, False, False), (2, False, True)],
)
def test_kernels_choose_what_torch_chooses(
    model: Model, monkeypatch: pytest.MonkeyPatch, number: int, is_weighted: bool, looks_ahead: bool
) -> None:
    """Three pictures of several tiles and odd sizes, with places whose codes do not matter."""
    rng = np.random.default_rng(9)
    height, width = (35, 33) if number == 0 else (70, 66)
    earlier = [rng.integers(16, size=(3, 35, 33)), rng.integers(16, size=(3, 70, 66))][:number]
    residual = (0.3 * rng.standard_normal((3, height, width, 4))).astype(np.float32)
    pixels = (rng.integers(256, size=(3, 280, 264, 3)) // np.arange(1, 265)[:, None]).astype(np.uint8)
    free = np.zeros((3, 35, 33), bool)
    free[:, 20:] = True
    weights = place_weights(pixels) if is_weighted else None

    def chosen(
        codings: Sequence[MapCoding] = model.torch_codings, pictures: slice = slice(None)
    ) -> tuple[NDArray[np.int64], list[list[bytes]]]:
        one = RateDistortionChoice(
            codings, 1.0, weights=None if weights is None else weights[pictures], free=free[pictures], with_streams=True
        )
        next_codebook = model.codebooks[number + 1] if looks_ahead else None
        result = one(model.codebooks[number], residual[pictures], [indices[pictures] for indices in earlier], next_codebook)
        assert result.streams is not None
        return result.indices, [*map(list, result.streams)]

    in_torch, *by_kernels = by_torch_and_by_kernels(monkeypatch, chosen)
    for indices, streams in [*by_kernels, chosen(), chosen(model.codings)]:
        assert np.array_equal(indices, in_torch[0]) and streams == in_torch[1]
    assert np.array_equal(chosen(pictures=slice(1, 2))[0], in_torch[0][1:2])


@needs_kernels
def test_kernels_give_the_files_of_torch_with_the_shipped_model(monkeypatch: pytest.MonkeyPatch) -> None:
    model = replace(load_model(DEFAULT_MODEL, "cpu"))
    vars(model)["codings"] = model.torch_codings
    picture = Picture(make_picture(72, 104))

    def file() -> bytes:
        return encode_pictures([picture], model, point=OperatingPoint(3, 1.5))[0].data

    in_torch, *by_kernels = by_torch_and_by_kernels(monkeypatch, file)
    assert all(data == in_torch for data in by_kernels)
