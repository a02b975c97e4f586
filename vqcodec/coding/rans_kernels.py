"""Kernels in Triton for rANS on a GPU: one launch decodes a step of all streams, another one codes whole streams.

A program takes a stream, code by code, in integers alone. Torch's builds for CUDA bring Triton; where it is not,
`vqcodec.coding.tensor_coder` does the same by operations of torch.
"""

from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

from vqcodec.coding.tensor_frequencies import slots_of


@cache
def has_kernels(device: torch.device) -> bool:
    """Returns whether Triton compiles kernels for a device, which decode what they coded; it needs a C compiler."""
    if device.type != "cuda" or find_spec("triton") is None:
        return False
    try:
        return decodes_what_it_codes(device)
    except Exception:  # noqa: BLE001 (Triton has errors of its own, which share no class with those of compilers and drivers)
        return False


def decodes_what_it_codes(device: torch.device) -> bool:
    """Returns whether the kernels decode a stream that they coded."""
    ends = torch.tensor([[1 << 21, 1 << 23, 1 << 24]], dtype=torch.int32, device=device).expand(99, -1).contiguous()
    codes = torch.arange(99, device=device) % 3
    firsts, freqs = slots_of(ends, codes)
    counts = torch.tensor([0, 99], device=device)
    words, used = (torch.zeros(1, size, dtype=torch.int64, device=device) for size in (99, 1))
    encode_by_kernel(firsts, freqs, counts[:1], counts[1:], words, used[0])
    last = words[0].gather(0, used[0] - 1), words[0].gather(0, used[0] - 2)
    decoded = decode_by_kernel(ends, counts, words, used[0] - 2, last[0] << 32 | last[1])
    return bool((decoded == codes).all())


def decode_by_kernel(ends: Tensor, bounds: Tensor, words: Tensor, left: Tensor, states: Tensor) -> Tensor:
    """Decodes the codes int64 [P] of a step; changes `left` and `states`.

    Args:
        ends: int32 [P, K], where the slots of each code end.
        bounds: int64 [G + 1], where the codes of each group begin and the last ones end.
        words: int64 [G, W], the streams.
        left: int64 [G], number of words that are left of each.
        states: int64 [G], the coder's states.
    """
    from vqcodec.coding.triton_rans import decode_step

    codes = torch.zeros(len(ends), dtype=torch.int64, device=ends.device)
    num_codes = ends.shape[1]
    block = 1 << (num_codes - 1).bit_length()
    decode_step[(len(states),)](ends, bounds, words, left, states, codes, num_codes, words.shape[1], BLOCK=block, num_warps=1)
    return codes


def encode_by_kernel(firsts: Tensor, freqs: Tensor, starts: Tensor, lengths: Tensor, words: Tensor, used: Tensor) -> None:
    """Codes streams; writes their words [G, W] and how many there are of each, `used` [G].

    Args:
        firsts: int64 [M], first slots of all codes, stream by stream.
        freqs: int64 [M], their frequencies.
        starts: int64 [G], where each stream begins among them.
        lengths: int64 [G], number of codes of each stream.
        words: int64 [G, W], enough room for the words.
        used: int64 [G].
    """
    from vqcodec.coding.triton_rans import encode_streams

    encode_streams[(len(lengths),)](firsts, freqs, starts, lengths, words, used, words.shape[1], num_warps=1)
