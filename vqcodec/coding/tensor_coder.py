"""rANS of many streams at once, as tensors on a device (FORMAT.md, section 4): a step of a walk codes without a wait for the CPU.

Every operation has a shape that the sizes of tiles alone decide. What is wrong with a stream is left in tensors and read at the end. States
are unsigned integers of 64 bits in int64; words are int64, each row of them a stream's. Where there is Triton, two of its kernels do the
same (`vqcodec.coding.rans_kernels`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqcodec.coding.frequencies import PRECISION_BITS, TOTAL
from vqcodec.coding.rans_kernels import decode_by_kernel, encode_by_kernel, has_kernels
from vqcodec.coding.tensor_frequencies import ends_of, slots_of
from vqcodec.coding.tiles import codes_of_steps
from vqcodec.errors import DesyncError

_WORD_BITS: Final = 32
_LOW_WORD: Final = (1 << _WORD_BITS) - 1
_STATE_BITS: Final = 64
_STATE_WORDS: Final = _STATE_BITS // _WORD_BITS
_LEAST_CAPACITY: Final = 64
_BAD_END: Final = "a prior's stream ends with a zero byte, expected another"
_NOT_USED_UP: Final = "a prior's stream holds more than its codes"


@dataclass(frozen=True)
class CodedOrder:
    """The order in which the streams of tile groups hold the codes of a walk, of G groups, S steps and M codes in all.

    Attributes:
        bounds: int64 [S, G + 1], where the codes of each group begin among those of a step, and where the last ones end.
        most: the most codes that a group has in each step.
        places: int64 [M], numbers of all codes in the order of the walk, stream by stream.
        firsts: int64 [G], where each stream begins among them.
        lengths: int64 [G], number of codes of each stream.
        longest: the largest of these.
    """

    bounds: Tensor
    most: list[int]
    places: Tensor
    firsts: Tensor
    lengths: Tensor
    longest: int

    @classmethod
    def of(cls, shapes: Sequence[tuple[int, int]], group_tiles: Sequence[int], slope: int, device: torch.device) -> "CodedOrder":
        """Returns the order of groups of so many tiles each, whose shapes are (h, w)."""
        starts = np.cumsum([0, *group_tiles])
        counts = np.add.reduceat(codes_of_steps(shapes, slope), starts[:-1], axis=1)  # [S, G]
        bounds = np.zeros((len(counts), len(group_tiles) + 1), np.int64)
        counts.cumsum(axis=1, out=bounds[:, 1:])
        groups = np.repeat(np.tile(np.arange(len(group_tiles)), len(counts)), counts.ravel())
        lengths = counts.sum(axis=0)
        arrays = bounds, groups.argsort(kind="stable"), lengths.cumsum() - lengths, lengths
        of_steps, places, firsts, on_device = (torch.from_numpy(array).to(device) for array in arrays)
        return cls(of_steps, counts.max(axis=1).tolist(), places, firsts, on_device, int(lengths.max()))


@dataclass(frozen=True)
class StreamTensors:
    """Streams that are to be decoded, as tensors; one that is no stream counts as empty, so that those beside it are decoded.

    Attributes:
        words: int64 [G, W], from the left; W is a power of two.
        left: int64 [G], number of words that are left of each.
        states: int64 [G], the coder's first states.
        faults: for each what is known to be wrong with it before it is decoded, or None.
    """

    words: Tensor
    left: Tensor
    states: Tensor
    faults: list[str | None]

    @classmethod
    def of(cls, streams: Sequence[bytes], num_codes: Sequence[int], device: torch.device) -> "StreamTensors":
        """Returns the streams of so many codes each on a device.

        Each code takes a word at most, beside those of the first state. So no more words of a stream are taken: one that is far too long
        would make the rows of all others as long.
        """
        parts, faults = [], []
        for stream, count in zip(streams, num_codes, strict=True):
            is_bad = stream.endswith(b"\0")
            part, most = np.frombuffer(b"" if is_bad else stream + bytes(-len(stream) % 4), "<u4"), count + _STATE_WORDS
            parts.append(part[-most:])
            faults.append(_BAD_END if is_bad else _NOT_USED_UP if len(part) > most else None)
        longest = max(_LEAST_CAPACITY, *(len(part) for part in parts))
        words = np.zeros((len(parts), 1 << (longest - 1).bit_length()), np.int64)
        left, states = np.zeros(len(parts), np.int64), np.zeros(len(parts), np.uint64)
        for row, part in enumerate(parts):
            words[row, : len(part)] = part
            begun = min(_STATE_WORDS, len(part))  # the last word of a stream is not 0, so two of them begin every state that has two
            left[row] = len(part) - begun
            states[row] = int.from_bytes(part[len(part) - begun :].tobytes(), "little")
        on_device = [torch.from_numpy(array).to(device) for array in (words, left, states.view(np.int64))]
        return cls(on_device[0], on_device[1], on_device[2], faults)

    def errors(self, states: NDArray[np.int64], left: NDArray[np.int64]) -> list[DesyncError | None]:
        """Returns for each stream why it does not decode to the codes that were coded, given its last state and words, or None."""
        used_up = (states == 0) & (left == 0)
        return [
            DesyncError(fault) if fault else None if is_used_up else DesyncError(_NOT_USED_UP)
            for fault, is_used_up in zip(self.faults, used_up.tolist(), strict=True)
        ]


class TensorDecoder:
    """A decoder of streams, step by step.

    Attributes:
        states: int64 [G], the coder's states.
        left: int64 [G], number of words that are left of each stream.

    Args:
        order: the order of codes in the streams.
        words: int64 [G, W], the streams (`StreamTensors`).
        left: int64 [G], number of words of each.
        states: int64 [G], the coder's first states.
    """

    def __init__(self, order: CodedOrder, words: Tensor, left: Tensor, states: Tensor) -> None:
        self.order, self.words = order, words
        self.left, self.states = left.clone(), states.clone()
        self._step = 0

    def decode(self, logits: Tensor) -> Tensor:
        """Decodes the codes int64 [P] of the next step by their logits [P, K], integers in sixteenths of an octave."""
        bounds, most = self.order.bounds[self._step], self.order.most[self._step]
        self._step += 1
        if not most:
            return torch.zeros(0, dtype=torch.int64, device=logits.device)
        ends = ends_of(logits)
        if has_kernels(ends.device):
            return decode_by_kernel(ends, bounds, self.words, self.left, self.states)
        codes = torch.zeros(len(ends) + 1, dtype=torch.int64, device=ends.device)  # the last one is what groups without a code write to
        for number in range(most):
            at = bounds[:-1] + number
            is_code = at < bounds[1:]
            own = self._decode_one(ends.index_select(0, at.clamp_max(len(ends) - 1)), is_code)
            codes.index_copy_(0, at.masked_fill(~is_code, len(ends)), own)
        return codes[:-1]

    def _decode_one(self, ends: Tensor, is_code: Tensor) -> Tensor:
        """Decodes one code [G] of each group by `ends` [G, K], and changes the states of those where one is."""
        slots = self.states & TOTAL - 1
        codes = (ends <= slots[:, None]).sum(dim=1)
        first, freqs = slots_of(ends, codes)
        states = freqs * _shifted(self.states, PRECISION_BITS) + slots - first
        is_refilled = (_shifted(states, _WORD_BITS) == 0) & (self.left > 0) & is_code
        words = self.words.gather(1, (self.left - 1).clamp_min(0)[:, None])[:, 0]
        states = torch.where(is_refilled, states << _WORD_BITS | words, states)
        self.left -= is_refilled.long()
        self.states = torch.where(is_code, states, self.states)
        return codes


def encode_tensors(order: CodedOrder, firsts: Tensor, freqs: Tensor) -> tuple[Tensor, Tensor]:
    """Codes the codes of a whole walk.

    Args:
        order: the order of codes in the streams.
        firsts: int64 [M], the first slot of each code, in the order of the walk.
        freqs: int64 [M], their frequencies.

    Returns:
        Words [G, W], int64, and how many of them each stream has, int64 [G].
    """
    firsts, freqs = firsts.index_select(0, order.places), freqs.index_select(0, order.places)
    capacity = order.longest * PRECISION_BITS // _WORD_BITS + 3
    groups = len(order.lengths)
    words = torch.zeros(groups, capacity, dtype=torch.int64, device=freqs.device)
    used = torch.zeros(groups, dtype=torch.int64, device=freqs.device)
    if has_kernels(freqs.device):
        encode_by_kernel(firsts, freqs, order.firsts, order.lengths, words, used)
        return words, used
    states = torch.zeros_like(used)

    def push(is_pushed: Tensor) -> None:
        """Moves the lower word of each state to its stream where `is_pushed` [G] is true; elsewhere it is written and does not count."""
        words.scatter_(1, used[:, None], (states & _LOW_WORD)[:, None])
        used.add_(is_pushed)
        states.copy_(torch.where(is_pushed, _shifted(states, _WORD_BITS), states))

    for number in reversed(range(order.longest)):
        is_code = number < order.lengths
        at = (order.firsts + number).clamp_max(len(freqs) - 1)
        first, freq = firsts.index_select(0, at), freqs.index_select(0, at)
        push(is_code & (_shifted(states, _STATE_BITS - PRECISION_BITS) >= freq))
        # The quotient of half of an unsigned state, doubled, is that of the state or one less.
        quotient = torch.div(_shifted(states, 1), freq, rounding_mode="trunc") * 2
        rest = states - quotient * freq
        is_less = rest >= freq
        quotient, rest = quotient + is_less, rest - is_less * freq
        states.copy_(torch.where(is_code, (quotient << PRECISION_BITS) + first + rest, states))
    for _ in range(_STATE_WORDS):
        push(states != 0)
    return words, used


def streams_of(words: Tensor, used: Tensor) -> list[bytes]:
    """Returns the streams of words [G, W], of which so many [G] are used: little-endian, without the zero bytes at the end."""
    counts = used.cpu().numpy()
    arrays = words[:, : max(1, int(counts.max()))].cpu().numpy().astype("<u4")
    return [row[:count].tobytes().rstrip(b"\0") for row, count in zip(arrays, counts, strict=True)]


def _shifted(states: Tensor, bits: int) -> Tensor:
    """Shifts unsigned integers of 64 bits in int64 to the right."""
    return states >> bits & (1 << _STATE_BITS - bits) - 1
