"""Checks streams under a prior, and exact networks against plain integers written from FORMAT.md alone."""

import copy
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

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
from vqcodec.nn.prior.choice import Choice
from vqcodec.nn.prior.pixelsnail import PixelSnail
from vqcodec.nn.prior.wavefront import Wavefront
from vqcodec.rate.torch_choice import choose_by_torch_prior


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("sharpness", [16, 11, 27, 255])
def test_frequencies_are_those_of_the_specification(config: PriorConfig, sharpness: int) -> None:
    torch.manual_seed(3)
    prior = random_prior(config)
    integers = prior.integers()
    prior.load_integers(integers)
    rng = np.random.default_rng(0)
    shapes = [(5, 4), (10, 8), (10, 8)]
    maps = [rng.integers(64, size=shape) for shape in shapes[: config.earlier_maps]] + [rng.integers(64, size=(10, 8))]
    ((codes, freqs),) = score_map(prior.sharpened(sharpness), maps)
    tensors = {name: value.numpy() for name, value in integers.items()}
    *earlier, tile = maps
    assert np.array_equal(prior_frequencies(asdict(config), tensors, earlier, tile, sharpness), freqs)
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


@pytest.mark.parametrize("by", ["kernels", "torch", "tensors"])
def test_streams_decode_to_the_maps_that_were_coded(priors: list[PixelSnail], monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    """Pictures of one tile, of tiles of uneven sizes, and of several groups; streams are the same by every way."""
    if by != "kernels":
        monkeypatch.setattr("vqcodec.coding.prior.native_prior_of", lambda _: None)
    monkeypatch.setattr("vqcodec.coding.prior.codes_on_device", lambda _: by == "tensors")
    sizes = [(1, 1), (33, 5), (65, 2), (3, 66)] if by == "tensors" else [(1, 1), (33, 40), (65, 70)]
    pictures = [make_maps(*size, seed) for seed, size in enumerate(sizes)]
    for number, sharpness in ((0, 16), (1, 16), (1, 30)):
        prior = priors[number].sharpened(sharpness)
        indices, earlier = [maps[number] for maps in pictures], [maps[:number] for maps in pictures]
        streams = code_by_prior(prior, indices, earlier)
        assert [len(of_picture) for of_picture in streams] == [len(tile_groups(*codes.shape, number)) for codes in indices]
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


@pytest.mark.parametrize(
    "damage", [lambda stream: stream[:-5], lambda stream: stream + b"\0", lambda stream: stream[:9] + b"\1" + stream[10:]]
)
def test_coding_in_tensors_gives_the_streams_codes_and_errors_of_the_library(
    priors: list[PixelSnail], monkeypatch: pytest.MonkeyPatch, damage: Callable[[bytes], bytes]
) -> None:
    """Of three pictures, the second one is damaged in its second group, and the third has no codes."""
    monkeypatch.setattr("vqcodec.coding.prior.native_prior_of", lambda _: None)
    maps = [make_maps(35, 5, 1)[0], make_maps(70, 9, 2)[0], np.zeros((3, 2), np.int64)]
    coded = []
    for on_device in (False, True):
        monkeypatch.setattr("vqcodec.coding.prior.codes_on_device", lambda _, on_device=on_device: on_device)
        coded.append([list(of_picture) for of_picture in code_by_prior(priors[0], maps, [[]] * 3)])
    streams = coded[0]
    assert coded[1] == streams
    streams[1][1] = damage(streams[1][1])
    sizes = [(indices.shape[0], indices.shape[1]) for indices in maps]
    results = []
    for on_device in (False, True):
        monkeypatch.setattr("vqcodec.coding.prior.codes_on_device", lambda _, on_device=on_device: on_device)
        results.append(decode_by_prior(priors[0], streams, sizes, [[]] * 3))
    for by_library, in_tensors in zip(*results, strict=True):
        assert np.array_equal(by_library.indices, in_tensors.indices) and str(by_library.error) == str(in_tensors.error)
    assert [result.error is None for result in results[1]] == [True, False, True]


class _OnDevice(TorchDispatchMode):
    """Allows no operation that waits for the device "meta", whose tensors have no values, or that copies to it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        devices = {tensor.device.type for tensor in tree_leaves(args) if isinstance(tensor, torch.Tensor)}
        assert "cpu" not in devices, f"{func} takes a tensor from the CPU"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("number", [0, 1])
def test_no_step_of_a_walk_on_a_device_waits_for_it(priors: list[PixelSnail], monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Decoding, coding of known codes, and the choice of codes by cost: tiles of uneven sizes."""
    prior = copy.deepcopy(priors[number]).to("meta")
    *earlier, indices = make_maps(3, 2)[: number + 1]
    *of_other, other = make_maps(2, 3)[: number + 1]
    rule = Choice(np.ones((16, 3), np.float32), 0.1)
    calls: list[int] = []

    def run(_: object, walk: Callable[..., tuple[torch.Tensor, ...]], inputs: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        if not calls:
            walk(*inputs)  # prepares what is kept
        with _OnDevice():
            outputs = walk(*inputs)
        assert all(output.device.type == "meta" for output in outputs)
        calls.append(len(outputs))
        raise InterruptedError

    monkeypatch.setattr("vqcodec.coding.walk.run", run)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # which does not know the device
    with pytest.raises(InterruptedError):
        decode_by_prior(prior, [[b"\1"]] * 2, [indices.shape, other.shape], [earlier, of_other])
    with pytest.raises(InterruptedError):
        code_by_prior(prior, [indices, other], [earlier, of_other])
    with pytest.raises(InterruptedError):
        choose_by_torch_prior(prior, rule, np.ones((1, *indices.shape, 4), np.float32), [earlier], with_streams=True)
    assert calls == [3, 3, 3]
