"""Checks that large images, painted block by block, are what one pass over the whole image gives."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vqcodec.models.model import load_model
from vqcodec.models.registry import DEFAULT_MODEL
from vqcodec.nn.autoencoder.blocks import encode_in_blocks
from vqcodec.nn.autoencoder.painting import paint_in_blocks
from vqcodec.nn.autoencoder.torch_encoder import TorchEncoder
from vqcodec.nn.autoencoder.torch_painter import TorchPainter
from vqcodec.nn.autoencoder.vqvae import VQVAE
from vqcodec.nn.configs import VQVAEConfig


@pytest.fixture(scope="module")
def painter(busy_network: VQVAE) -> TorchPainter:
    return TorchPainter.of(busy_network)


@pytest.fixture(scope="module")
def indices(busy_network: VQVAE, pixels: torch.Tensor) -> list[NDArray[np.int64]]:
    return [of_map.numpy() for of_map in busy_network.encode(pixels.float() / 127.5 - 1)]


def largest_difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> int:
    return int(np.abs(a.astype(int) - b).max())


@pytest.mark.usefixtures("float32")
def test_pixels_are_those_of_one_pass(painter: TorchPainter, indices: list[NDArray[np.int64]]) -> None:
    for count in (1, 3):
        whole = paint_in_blocks(painter, indices[:count])
        assert largest_difference(whole, paint_in_blocks(painter, indices[:count], block=72)) <= 1
        assert len(np.unique(whole)) > 50


@pytest.mark.usefixtures("float32")
def test_areas_of_equal_codes_are_painted_once(painter: TorchPainter) -> None:
    indices = [np.full((1, 260 * scale, 200 * scale), 7) for scale in (1, 2)]
    indices[0][:, 250:, 150:] = 3
    whole = paint_in_blocks(painter, indices, block=2080)
    painted = []

    class Counted(TorchPainter):
        def __call__(self, codes: Sequence[NDArray[np.int64]], kept: tuple[slice, slice]) -> NDArray[np.uint8]:
            painted.append(codes[0].size)
            return super().__call__(codes, kept)

    parts = paint_in_blocks(Counted(painter.codebooks, painter.decoder), indices, block=800)
    assert largest_difference(whole, parts) <= 1
    assert not np.array_equal(parts[:, -80:, -80:], parts[:, :80, :80])
    assert sum(painted) * 64 < 0.8 * 2080 * 1600


@pytest.mark.usefixtures("float32")
def test_margins_are_as_wide_as_the_receptive_field(
    painter: TorchPainter, indices: list[NDArray[np.int64]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check of blocks fails with margins that are a little too small, so it would notice."""
    painted = paint_in_blocks(painter, indices)
    monkeypatch.setattr(VQVAEConfig, "decoder_margin_px", painter.margin_px - 8)
    assert largest_difference(paint_in_blocks(painter, indices, block=72), painted) > 1


@pytest.mark.usefixtures("float32")
def test_a_narrower_margin_sees_only_the_codes_within_it(painter: TorchPainter, indices: list[NDArray[np.int64]]) -> None:
    indices = indices[:2]
    part = slice(64, 128), slice(128, 192)
    narrow = paint_in_blocks(painter, indices, part=part, margin=16)
    cut = [indices[0][:, 6:18, 14:26], indices[1][:, 12:36, 28:52]]
    assert largest_difference(narrow, paint_in_blocks(painter, cut)[:, 16:80, 16:80]) <= 1
    assert largest_difference(narrow, paint_in_blocks(painter, indices, part=part)) > 1


def test_bfloat16_changes_pixels_by_a_level_at_most(photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    network = load_model(DEFAULT_MODEL, device="cpu").network
    indices = [chosen.indices for chosen in encode_in_blocks(TorchEncoder(network), photo[None, :296, :448])]
    painted = []
    for is_fast in (False, True):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda is_fast=is_fast: is_fast)
        painted.append(paint_in_blocks(TorchPainter.of(network), indices))
    assert largest_difference(*painted) == 1


def test_progress_grows_to_the_end(painter: TorchPainter, indices: list[NDArray[np.int64]]) -> None:
    shares: list[float] = []
    paint_in_blocks(painter, indices[:3], block=72, on_progress=shares.append)
    assert len(shares) == 8 and shares == sorted(shares) and shares[-1] == 1


def test_float16_changes_few_samples_by_one_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped model, as a GPU runs it, on random codes."""
    painter = TorchPainter.of(load_model(DEFAULT_MODEL, "cpu").network)
    rng = np.random.default_rng(0)
    codes = [rng.integers(512, size=(1, side, side)) for side in (8, 16)]
    painted = []
    for is_half in (False, True):
        autocast = torch.autocast("cpu", torch.float16, enabled=is_half)
        monkeypatch.setattr("vqcodec.nn.autoencoder.torch_painter.autocast_on", lambda _, autocast=autocast: autocast)
        painted.append(paint_in_blocks(painter, codes).astype(int))
    differences = np.abs(painted[1] - painted[0])
    assert differences.max() == 1 and (differences > 0).mean() < 0.05
