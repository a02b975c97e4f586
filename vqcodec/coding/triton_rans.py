"""The kernels of `vqcodec.coding.rans_kernels`, which can only be imported where Triton is installed."""

import triton
import triton.language as tl


@triton.jit
def decode_step(ends, bounds, words, left, states, codes, num_codes, capacity, BLOCK: tl.constexpr):
    """Decodes the codes of one stream in a step; the arguments are pointers to those of `decode_by_kernel`."""
    group = tl.program_id(0)
    state = tl.load(states + group).to(tl.uint64, bitcast=True)
    remaining = tl.load(left + group)
    numbers = tl.arange(0, BLOCK)
    for place in range(tl.load(bounds + group), tl.load(bounds + group + 1)):
        of_place = tl.load(ends + place * num_codes + numbers, mask=numbers < num_codes, other=1 << 24)
        slot = (state & 0xFFFFFF).to(tl.int32)
        is_before = of_place <= slot
        code = tl.sum(is_before.to(tl.int32), axis=0)
        first = tl.max(tl.where(is_before, of_place, 0), axis=0)
        end = tl.min(tl.where(is_before, 1 << 24, of_place), axis=0)
        state = (end - first).to(tl.uint64) * (state >> 24) + (slot - first).to(tl.uint64)
        is_refilled = ((state >> 32) == 0) & (remaining > 0)
        word = tl.load(words + group * capacity + remaining - 1, mask=is_refilled, other=0).to(tl.uint64)
        state = tl.where(is_refilled, (state << 32) | word, state)
        remaining -= is_refilled.to(tl.int64)
        tl.store(codes + place, code.to(tl.int64))
    tl.store(states + group, state.to(tl.int64, bitcast=True))
    tl.store(left + group, remaining)


@triton.jit
def encode_streams(firsts, freqs, starts, lengths, words, used, capacity):
    """Codes one stream; the arguments are pointers to those of `encode_by_kernel`."""
    group = tl.program_id(0)
    start = tl.load(starts + group)
    length = tl.load(lengths + group)
    target = words + group * capacity
    count = start * 0
    state = count.to(tl.uint64)
    for number in range(length):
        place = start + length - 1 - number
        first = tl.load(firsts + place).to(tl.uint64)
        freq = tl.load(freqs + place).to(tl.uint64)
        is_full = (state >> 40) >= freq
        tl.store(target + count, (state & 0xFFFFFFFF).to(tl.int64), mask=is_full)
        count += is_full.to(tl.int64)
        state = tl.where(is_full, state >> 32, state)
        quotient = state // freq
        state = (quotient << 24) + first + (state - quotient * freq)
    for _ in range(2):
        is_left = state != 0
        tl.store(target + count, (state & 0xFFFFFFFF).to(tl.int64), mask=is_left)
        count += is_left.to(tl.int64)
        state = state >> 32
    tl.store(used + group, count)
