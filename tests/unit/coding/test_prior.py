"""Checks streams under a prior, and exact networks against plain integers written from FORMAT.md alone."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from tests.conftest import random_prior
from tests.prior_oracle import coding_order, prior_frequencies
from tests.unit.coding.conftest import make_maps
from tests.unit.nn.prior.test_wavefront import CONFIGS
from vqcodec.coding.prior import code_by_prior, decode_by_prior, score_map
from vqcodec.coding.streams import payload_of_streams, stream_places
from vqcodec.coding.tiles import coding_order as package_order
from vqcodec.coding.tiles import tile_groups
from vqcodec.errors import DesyncError
from vqcodec.nn.configs import PriorConfig
from vqcodec.nn.prior.pixelsnail import PixelSnail
from vqcodec.nn.prior.wavefront import Wavefront


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_frequencies_are_those_of_the_specification(config: PriorConfig) -> None:
    torch.manual_seed(3)
    prior = random_prior(config)
    integers = prior.integers()
    prior.load_integers(integers)
    rng = np.random.default_rng(0)
    shapes = [(5, 4), (10, 8), (10, 8)]
    maps = [rng.integers(64, size=shape) for shape in shapes[: config.earlier_maps]] + [rng.integers(64, size=(10, 8))]
    ((codes, freqs),) = score_map(prior, maps)
    tensors = {name: value.numpy() for name, value in integers.items()}
    *earlier, tile = maps
    assert np.array_equal(prior_frequencies(asdict(config), tensors, earlier, tile), freqs)
    assert codes.tolist() == [int(tile[place]) for place in coding_order(10, 8, config.slope)]


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_where_everything_is_clipped(config: PriorConfig) -> None:
    """Parameters as large as their formats: streams, activations, gates, scores and logits all reach their limits."""
    rng = np.random.default_rng(5)
    prior = PixelSnail(config).eval().requires_grad_(False)
    integers = prior.integers()
    for name, value in integers.items():
        largest = 1023 if name == "head.bias" else 127 if value.dtype == torch.int8 else 32767
        drawn = rng.choice([-largest, -1, 0, 1, largest], size=value.shape)
        if name.endswith("_bits"):
            drawn = rng.integers(3, 13, size=value.shape)
        integers[name] = torch.from_numpy(drawn).to(value.dtype)
    for name in [name for name in integers if name.endswith("_bits")]:
        weight = integers[name.removesuffix("_bits")]
        weight[:, ..., 0] = 127  # so that the largest value tells the bits, as in every exported weight
    prior.load_integers(integers)
    shapes = [(3, 4), (6, 8), (6, 8)]
    maps = [rng.integers(64, size=shape) for shape in shapes[: config.earlier_maps]] + [rng.integers(64, size=(6, 8))]
    ((_, freqs),) = score_map(prior, maps)
    tensors = {name: value.numpy() for name, value in integers.items()}
    *earlier, tile = maps
    assert np.array_equal(prior_frequencies(asdict(config), tensors, earlier, tile), freqs)


def test_order_of_coding() -> None:
    for height, width, slope in [(1, 1, 1), (5, 3, 1), (3, 7, 2)]:
        rows, columns = package_order(height, width, slope)
        assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == coding_order(height, width, slope)


@pytest.mark.parametrize("in_torch", [False, True])
def test_streams_decode_to_the_maps_that_were_coded(priors: list[PixelSnail], monkeypatch: pytest.MonkeyPatch, in_torch: bool) -> None:
    """Pictures of one tile, of tiles of uneven sizes, and of several groups."""
    if in_torch:
        monkeypatch.setattr("vqcodec.coding.prior.native_prior_of", lambda _: None)
    sizes = [(1, 1), (33, 40), (65, 70)]
    pictures = [make_maps(*size, seed) for seed, size in enumerate(sizes)]
    for number in (0, 1):
        prior = priors[number]
        indices, earlier = [maps[number] for maps in pictures], [maps[:number] for maps in pictures]
        streams = code_by_prior(prior, indices, earlier)
        assert [len(of_picture) for of_picture in streams] == [1, 1, 4]
        for of_picture in streams:
            payload = payload_of_streams(of_picture)
            assert [payload[place] for place in stream_places(payload, len(of_picture), len(payload))] == of_picture
        decoded = decode_by_prior(prior, streams, [(codes.shape[0], codes.shape[1]) for codes in indices], earlier)
        assert all(result.error is None and np.array_equal(result.indices, codes) for result, codes in zip(decoded, indices, strict=True))


@pytest.mark.parametrize(("stream", "most_steps"), [(b"", 3), (b"\1\0\0\0", 63)])
def test_forged_streams_cost_little(priors: list[PixelSnail], monkeypatch: pytest.MonkeyPatch, stream: bytes, most_steps: int) -> None:
    """Streams without codes end the walk at once, and the first bad one ends that of its picture."""
    steps: list[Wavefront] = []
    logits = Wavefront.logits

    def counted(walk: Wavefront) -> torch.Tensor:
        steps.append(walk)
        return logits(walk)

    monkeypatch.setattr(Wavefront, "logits", counted)
    monkeypatch.setattr("vqcodec.coding.prior.native_prior_of", lambda _: None)
    size = (32 * 12, 32 * 8)
    (result,) = decode_by_prior(priors[0], [[stream] * len(tile_groups(*size, 0))], [size], [[]])
    assert not result.indices.any() and (result.error is None if stream == b"" else isinstance(result.error, DesyncError))
    assert len(steps) <= most_steps
