"""A plain-Python rANS, written from FORMAT.md, section 4: the oracle of the static coder."""

import struct
from itertools import accumulate

MASK = (1 << 32) - 1


def rans_encode(codes: list[int], freqs: list[int]) -> bytes:
    cum = [0, *accumulate(freqs)]
    state, words = 0, []
    for k in reversed(codes):
        if state >= freqs[k] << 40:
            words.append(state & MASK)
            state >>= 32
        state = (state // freqs[k] << 24) + cum[k] + state % freqs[k]
    while state > 0:
        words.append(state & MASK)
        state >>= 32
    return struct.pack(f"<{len(words)}I", *words)


def rans_decode(payload: bytes, count: int, freqs: list[int]) -> list[int]:
    cum = [0, *accumulate(freqs)]
    words = list(struct.unpack(f"<{len(payload) // 4}I", payload))
    state, codes = 0, []
    while words and state < 1 << 32:
        state = state << 32 | words.pop()
    for _ in range(count):
        slot = state & ((1 << 24) - 1)
        k = next(i for i in range(len(freqs)) if cum[i] <= slot < cum[i + 1])
        state = freqs[k] * (state >> 24) + slot - cum[k]
        if state < 1 << 32 and words:
            state = state << 32 | words.pop()
        codes.append(k)
    assert state == 0 and not words
    return codes
