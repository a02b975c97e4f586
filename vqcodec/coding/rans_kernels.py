"""Kernels in Triton for rANS on a GPU: one launch decodes a step of all streams, another one codes whole streams.

A program takes a stream, code by code, in integers alone. Torch's builds for CUDA bring Triton; where it is not,
`vqcodec.coding.tensor_coder` does the same by operations of torch.
"""

from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor


@cache
def has_kernels(device: torch.device) -> bool:
    """Returns whether Triton compiles kernels for a device."""
    return device.type == "cuda" and find_spec("triton") is not None


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
