"""Checks rANS in tensors against the coder of the library, stream by stream, over groups of uneven tiles."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.rans import rans_decode, rans_encode
from vqcodec.coding import rans_kernels
from vqcodec.coding.coders import PriorDecoder, encode_prior
from vqcodec.coding.frequencies import freqs_from_logits, shares_from_logits
from vqcodec.coding.tensor_coder import CodedOrder, StreamTensors, TensorDecoder, encode_tensors, streams_of
from vqcodec.coding.tensor_frequencies import ends_of, slots_of
from vqcodec.coding.tiles import codes_of_steps, coding_order
from vqcodec.errors import DesyncError

SHAPES = [(3, 4), (3, 1), (1, 5), (6, 7), (2, 2), (1, 1)]
GROUP_TILES = [3, 1, 2]
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")),
]


class Walk:
    """Codes of a walk through groups of tiles, step by step, with random logits; the same as lists of each group's codes.

    Attributes:
        logits: [P, K] of each step.
        codes: [P] of each step.
        by_group: for each group its codes [M] and logits [M, K], in the order of its stream.
    """

    def __init__(self, slope: int, size: int, spread: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        counts = codes_of_steps(SHAPES, slope)
        self.logits = [rng.integers(-spread, spread + 1, size=(of_step.sum(), size)) for of_step in counts]
        self.codes = [rng.integers(size, size=of_step.sum()) for of_step in counts]
        groups = np.repeat(np.arange(len(GROUP_TILES)), GROUP_TILES)
        owners = [groups.repeat(of_step) for of_step in counts]
        self.by_group = [
            tuple(
                np.concatenate([part[own == group] for part, own in zip(parts, owners, strict=True)]) for parts in (self.codes, self.logits)
            )
            for group in range(len(GROUP_TILES))
        ]

    def streams(self) -> list[bytes]:
        """Returns the streams by the library."""
        return [encode_prior(codes, shares_from_logits(logits)) for codes, logits in self.by_group]


def decoded(walk: Walk, streams: list[bytes], slope: int, device: str) -> tuple[list[NDArray[np.int64]], list[DesyncError | None]]:
    """Decodes the codes of each step, and the errors of groups."""
    order = CodedOrder.of(SHAPES, GROUP_TILES, slope, torch.device(device))
    tensors = StreamTensors.of(streams, order.lengths.tolist(), torch.device(device))
    decoder = TensorDecoder(order, tensors.words, tensors.left, tensors.states)
    codes = [decoder.decode(torch.from_numpy(logits).to(device)).cpu().numpy() for logits in walk.logits]
    return codes, tensors.errors(decoder.states.cpu().numpy(), decoder.left.cpu().numpy())


def encoded(walk: Walk, slope: int, device: str) -> list[bytes]:
    slots = [
        slots_of(ends_of(torch.from_numpy(logits).to(device)), torch.from_numpy(codes).to(device))
        for logits, codes in zip(walk.logits, walk.codes, strict=True)
    ]
    firsts, freqs = (torch.cat(parts) for parts in zip(*slots, strict=True))
    return streams_of(*encode_tensors(CodedOrder.of(SHAPES, GROUP_TILES, slope, torch.device(device)), firsts, freqs))


def test_codes_of_steps_are_counted_as_they_are_coded() -> None:
    for slope in (1, 2):
        counts = codes_of_steps(SHAPES, slope)
        for (height, width), of_tile in zip(SHAPES, counts.T, strict=True):
            rows, columns = coding_order(height, width, slope)
            assert of_tile.tolist() == np.bincount(columns + slope * rows, minlength=len(counts)).tolist()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("slope", [1, 2])
@pytest.mark.parametrize(("size", "spread"), [(2, 0), (5, 1023), (64, 30), (300, 300)])
def test_streams_and_codes_are_those_of_the_library(device: str, slope: int, size: int, spread: int) -> None:
    walk = Walk(slope, size, spread, seed=size)
    streams = walk.streams()
    assert encoded(walk, slope, device) == streams
    codes, errors = decoded(walk, streams, slope, device)
    assert errors == [None] * len(streams)
    assert all(np.array_equal(ours, expected) for ours, expected in zip(codes, walk.codes, strict=True))


def test_states_whose_highest_bit_is_set() -> None:
    """Codes of one to five bits lead the state to where signed and unsigned integers differ."""
    logits = np.tile([0, 16, -60], (4000, 1))
    codes = np.random.default_rng(0).integers(3, size=4000)
    freqs = freqs_from_logits(logits)
    order = CodedOrder.of([(4000, 1)], [1], 1, torch.device("cpu"))
    firsts, of_codes = slots_of(ends_of(torch.from_numpy(logits)), torch.from_numpy(codes))
    (stream,) = streams_of(*encode_tensors(order, firsts, of_codes))
    assert stream == rans_encode(codes.tolist(), freqs.tolist())
    tensors = StreamTensors.of([stream], [4000], torch.device("cpu"))
    decoder = TensorDecoder(order, tensors.words, tensors.left, tensors.states)
    was_negative = False
    for number in range(4000):
        assert int(decoder.decode(torch.from_numpy(logits[number : number + 1]))) == codes[number]
        was_negative |= bool((decoder.states < 0).any())
    assert was_negative and not decoder.states.any() and not decoder.left.any()
    assert rans_decode(stream, freqs.tolist()) == codes.tolist()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "change",
    [
        lambda stream: stream[: len(stream) // 2].rstrip(b"\0"),
        lambda stream: stream + b"\1",
        lambda stream: stream + bytes(4000) + b"\1",
        lambda stream: stream + b"\0",
        lambda stream: bytes([stream[0] ^ 64]) + stream[1:],
        lambda stream: stream[:-1] + bytes([stream[-1] ^ 1]) + b"\2",
        lambda _: b"",
        lambda _: b"\0",
        lambda _: b"\1\0\0\0\0\0\0\1",
    ],
)
def test_damaged_streams_give_the_codes_and_errors_of_the_library(device: str, change: object) -> None:
    """Streams beside the damaged one are decoded all the same."""
    walk = Walk(1, 32, 60, seed=9)
    intact = walk.streams()
    assert callable(change)
    streams = [intact[0], change(intact[1]), intact[2]]
    codes, errors = decoded(walk, streams, 1, device)
    expected: str | None = None
    try:
        decoder = PriorDecoder(streams[1])
    except DesyncError as error:
        expected = str(error)
        wrong = np.zeros(len(walk.by_group[1][0]), np.int64)
    else:
        wrong = decoder.decode(shares_from_logits(walk.by_group[1][1]))
        try:
            decoder.finish()
        except DesyncError as error:
            expected = str(error)
    assert [None if error is None else str(error) for error in errors] == [None, expected, None]
    counts = codes_of_steps(SHAPES, 1)
    owners = [np.repeat(np.repeat(np.arange(3), GROUP_TILES), of_step) for of_step in counts]
    for group, of_group in enumerate([walk.by_group[0][0], wrong, walk.by_group[2][0]]):
        ours = np.concatenate([codes_[own == group] for codes_, own in zip(codes, owners, strict=True)])
        assert np.array_equal(ours, of_group)


def test_a_stream_that_is_far_too_long_takes_no_more_memory_than_its_codes_could() -> None:
    tensors = StreamTensors.of([b"\1" * 4_000_000, b"\1"], [100, 3], torch.device("cpu"))
    assert tensors.words.shape == (2, 128)
    errors = tensors.errors(np.zeros(2, np.int64), np.zeros(2, np.int64))  # the words that are taken may well be used up
    assert str(errors[0]) == "a prior's stream holds more than its codes" and errors[1] is None


def test_whatever_triton_raises_leaves_operations_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    class PTXASError(Exception):
        pass

    def fail(_: torch.device) -> bool:
        raise PTXASError("the value sm_999 is not defined")

    monkeypatch.setattr(rans_kernels, "find_spec", lambda _: True)
    monkeypatch.setattr(rans_kernels, "decodes_what_it_codes", fail)
    assert not rans_kernels.has_kernels.__wrapped__(torch.device("cuda"))


_INTERPRETED = """
import sys
sys.path.insert(0, {root!r})
from vqcodec.coding import tensor_coder
tensor_coder.has_kernels = lambda device: True
from vqcodec.coding.rans_kernels import decodes_what_it_codes
from tests.unit.coding.test_tensor_coder import Walk, decoded, encoded
import numpy as np
import torch
assert decodes_what_it_codes(torch.device("cpu"))
for slope, size, spread in [(1, 5, 1023), (2, 30, 40)]:
    walk = Walk(slope, size, spread, seed=1)
    streams = walk.streams()
    assert encoded(walk, slope, "cpu") == streams
    streams[1] = streams[1][:5]
    codes, errors = decoded(walk, streams, slope, "cpu")
    tensor_coder.has_kernels = lambda device: False
    expected, expected_errors = decoded(walk, streams, slope, "cpu")
    tensor_coder.has_kernels = lambda device: True
    assert all(np.array_equal(a, b) for a, b in zip(codes, expected))
    assert list(map(str, errors)) == list(map(str, expected_errors))
print("equal")
"""


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
def test_kernels_of_triton_give_the_same() -> None:
    """By Triton's interpreter, which needs no GPU."""
    program = _INTERPRETED.format(root=str(Path(__file__).parents[3]))
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout == "equal\n", done.stderr
