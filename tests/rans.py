"""Codes by rANS in plain Python, written from FORMAT.md, section 4: the oracle of the static and the prior coder."""

import struct
from itertools import accumulate

MASK = (1 << 32) - 1


def rans_encode(codes: list[int], tables: list[list[int]]) -> bytes:
    """Returns the stream of `codes`, each under its own table of frequencies."""
    state, words = 0, []
    for k, freqs in zip(reversed(codes), reversed(tables), strict=True):
        cum = [0, *accumulate(freqs)]
        if state >= freqs[k] << 40:
            words.append(state & MASK)
            state >>= 32
        state = (state // freqs[k] << 24) + cum[k] + state % freqs[k]
    while state > 0:
        words.append(state & MASK)
        state >>= 32
    return struct.pack(f"<{len(words)}I", *words).rstrip(b"\0")


def rans_decode(payload: bytes, tables: list[list[int]]) -> list[int]:
    """Returns the codes that `rans_encode` coded under these tables."""
    padded = payload + bytes(-len(payload) % 4)
    words = list(struct.unpack(f"<{len(padded) // 4}I", padded))
    state, codes = 0, []
    while words and state < 1 << 32:
        state = state << 32 | words.pop()
    for freqs in tables:
        cum = [0, *accumulate(freqs)]
        slot = state & ((1 << 24) - 1)
        k = next(i for i in range(len(freqs)) if cum[i] <= slot < cum[i + 1])
        state = freqs[k] * (state >> 24) + slot - cum[k]
        if state < 1 << 32 and words:
            state = state << 32 | words.pop()
        codes.append(k)
    assert state == 0 and not words
    return codes
