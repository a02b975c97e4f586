"""Fixed-point arithmetic: numbers that are integers times a power of two, so that every sum of them is exact.

A float32 holds every integer up to 2^24, and scaling by a power of two changes nothing but the exponent. As long as the absolute sum of a
dot product stays below 2^24 units, any order of summation, any instruction set and any device gives the same bits (FORMAT.md, section 7).
Number formats, as fractional bits:

    activations  `ACTIVATION_BITS`  integers in [-127, 127], that is [-3.97, 3.97]; the only operands of products
    weights      one number of fractional bits an output channel, integers in [-127, 127]
    stream       `STREAM_BITS`      integers in [-32767, 32767], that is [-128, 128]: residual sums
    logits       `LOGIT_BITS`       in octaves: the probability of a code is in proportion to 2^logit

In exact arithmetic a tensor holds the integers themselves, as float32; in the other two, what they stand for. Sums of products and streams
are not rounded: they are a multiple of 2^-9 of a stream's unit, and exact in float32 below 2^15 units, where a stream is clipped anyway. In
exact arithmetic they are in units of what they are rounded to, and half a unit is added already, so that `floor` rounds them.

Sources: Balle, Johnston, Minnen 2019, "Integer Networks for Data Compression with Latent-Variable Models"; straight-through rounding as in
Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference".
"""

from enum import Enum
from functools import cache
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from vqcodec.format.octaves import LOGIT_BITS, OCTAVE_BITS, OCTAVES, PLAIN_SHARPNESS
from vqcodec.nn.prior.number_formats import (
    ACTIVATION_BITS,
    EXACT_LIMIT,
    GATE_BITS,
    MAX_ACTIVATION,
    MAX_ATTENTION_WEIGHT,
    MAX_LOGIT,
    MAX_STREAM,
    MAX_WEIGHT,
    STREAM_BITS,
    WEIGHT_BITS_RANGE,
)

HALF_GATE: Final = 1 << (GATE_BITS - 1)
SCORE_SCALE: Final = 2.0**-3


def _power(steps: int) -> int:
    """Returns 127 * 2^(-steps / 16), rounded half up, from the octave table."""
    halvings, sixteenths = divmod(steps, 1 << LOGIT_BITS)
    shift = OCTAVE_BITS + halvings
    return OCTAVES[sixteenths] * MAX_ATTENTION_WEIGHT + (1 << shift - 1) >> shift


ATTENTION_POWERS: Final = [_power(steps) for steps in range(1 << 8)]
"""Weights of keys whose scores lie 0, 1, ... sixteenths of an octave below the largest; the last one stands for all that lie lower."""


class Arithmetic(Enum):
    """The arithmetic of a network: real numbers, fixed point with straight-through gradients, or fixed point with exact sums."""

    REAL = 0
    TRAINED = 1
    EXACT = 2


def fixed(x: Tensor, bits: int, largest: int, arithmetic: Arithmetic) -> Tensor:
    """Clamps x to integers of at most `largest` in units of 2^-bits, and rounds it half up to them when training in fixed point."""
    if arithmetic is Arithmetic.TRAINED:
        x = x + (torch.floor(x.detach() * 2.0**bits + 0.5) * 2.0**-bits - x.detach())
    limit = largest * 2.0**-bits
    return F.hardtanh(x, -limit, limit)


def in_units(parameter: Tensor, bits: int, largest: int) -> Tensor:
    """Rounds a parameter to integers of at most `largest` in units of 2^-bits."""
    return torch.floor(parameter.detach().float() * 2.0**bits + 0.5).clamp_(-largest, largest)


def rounded_shift(x: Tensor, shift: int) -> Tensor:
    """Returns floor(x / 2^shift + 1/2)."""
    return torch.add(_half(x.device), x, alpha=2.0**-shift).floor_()


def to_activations(stream: Tensor, arithmetic: Arithmetic) -> Tensor:
    """Rounds a stream to activations, the operands of products."""
    if arithmetic is Arithmetic.EXACT:
        return rounded_shift(stream, STREAM_BITS - ACTIVATION_BITS).clamp_(-MAX_ACTIVATION, MAX_ACTIVATION)
    return fixed(stream, ACTIVATION_BITS, MAX_ACTIVATION, arithmetic)


def sum_to_activations(x: Tensor, arithmetic: Arithmetic) -> Tensor:
    """Rounds a sum in units of activations to activations."""
    if arithmetic is Arithmetic.EXACT:
        return x.floor_().clamp_(-MAX_ACTIVATION, MAX_ACTIVATION)
    return fixed(x, ACTIVATION_BITS, MAX_ACTIVATION, arithmetic)


def to_stream(x: Tensor, arithmetic: Arithmetic) -> Tensor:
    """Rounds a sum to a stream; real numbers are left as they are, being far from the limits."""
    if arithmetic is Arithmetic.EXACT:
        return x.floor_().clamp_(-MAX_STREAM, MAX_STREAM)
    return x if arithmetic is Arithmetic.REAL else fixed(x, STREAM_BITS, MAX_STREAM, arithmetic)


def to_logits(x: Tensor, arithmetic: Arithmetic, sharpness: int = PLAIN_SHARPNESS) -> Tensor:
    """Rounds a sum in octaves, or in sixteenths of them when exact, to logits; exact ones are multiplied by `sharpness` sixteenths."""
    if arithmetic is Arithmetic.EXACT:
        logits = x.floor_().clamp_(-MAX_LOGIT, MAX_LOGIT)
        return logits if sharpness == PLAIN_SHARPNESS else logits.mul_(sharpness / PLAIN_SHARPNESS).floor_()
    return fixed(x, LOGIT_BITS, MAX_LOGIT, arithmetic)


def gate(hidden: Tensor, arithmetic: Arithmetic) -> Tensor:
    """Returns activations [..., C]: the first half of sums [..., 2C] times a hard sigmoid of the second half.

    The hard sigmoid is min(1, max(0, x / 4 + 1 / 2)). In exact arithmetic the 1 / 2 is in the sums already (`ExactWeight`).
    """
    if arithmetic is Arithmetic.EXACT:
        # A quarter of a stream in units of 2^-7 happens to be the stream in units of 2^-5, so both halves are rounded to these.
        value, sigmoid = hidden.floor_().chunk(2, dim=-1)
        value, sigmoid = value.clamp_(-MAX_ACTIVATION, MAX_ACTIVATION), sigmoid.clamp_(0, 2 * HALF_GATE)
        return torch.addcmul(_half(value.device), value, sigmoid, value=2.0**-GATE_BITS).floor_()
    value, sigmoid = hidden.chunk(2, dim=-1)
    opening = fixed(sigmoid * 0.25, GATE_BITS, HALF_GATE, arithmetic) + 0.5
    return fixed(fixed(value, ACTIVATION_BITS, MAX_ACTIVATION, arithmetic) * opening, ACTIVATION_BITS, MAX_ACTIVATION, arithmetic)


def weight_bits(weight: Tensor) -> Tensor:
    """Returns the fractional bits [O] of each output channel of a weight [O, ...].

    They are the most with which the channel's largest value is at most 127 units.
    """
    largest = weight.detach().abs().flatten(1).amax(dim=1).float().clamp_min(1e-9)
    bits = torch.floor(torch.log2(MAX_WEIGHT / largest))
    return bits.clamp(*WEIGHT_BITS_RANGE)


def fixed_weight(weight: Tensor, arithmetic: Arithmetic) -> Tensor:
    """Returns the weight [O, ...] that products use: as it is, or rounded when training in fixed point."""
    if arithmetic is Arithmetic.REAL:
        return weight
    unit = torch.exp2(-weight_bits(weight)).view(-1, *[1] * (weight.ndim - 1))
    rounded = (torch.floor(weight.detach() / unit + 0.5).clamp(-MAX_WEIGHT, MAX_WEIGHT)) * unit
    return weight + (rounded - weight).detach()


def attention_scores(products: Tensor, arithmetic: Arithmetic) -> Tensor:
    """Returns the scores of keys in octaves (sixteenths of them when exact): products of queries and keys, both activations, over 8."""
    if arithmetic is Arithmetic.EXACT:
        return rounded_shift(products, 2 * ACTIVATION_BITS + 3 - LOGIT_BITS).clamp_(-MAX_LOGIT, MAX_LOGIT)
    return to_logits(products.float() * SCORE_SCALE, arithmetic)


def attention_weights(scores: Tensor, arithmetic: Arithmetic) -> Tensor:
    """Returns 127 * 2^(score - largest score) along the last dimension, rounded to integers; 0 for scores of minus infinity.

    Args:
        scores: scores in octaves; when exact in sixteenths of them, and the powers come from a table that integers alone made.
        arithmetic: one of the two fixed-point arithmetics.
    """
    below = scores.amax(dim=-1, keepdim=True).clamp_min(-1e9) - scores
    if arithmetic is Arithmetic.TRAINED:
        weights = torch.exp2(-below) * MAX_ATTENTION_WEIGHT
        return weights + (torch.floor(weights.detach() + 0.5) - weights.detach())
    steps = below.clamp_(max=len(ATTENTION_POWERS) - 1).int()
    return _powers(scores.device).index_select(0, steps.flatten()).view(steps.shape)


@cache
def _half(device: torch.device) -> Tensor:
    return torch.tensor(0.5, device=device)


@cache
def _powers(device: torch.device) -> Tensor:
    return torch.tensor(ATTENTION_POWERS, dtype=torch.float32, device=device)


def check_integers(name: str, values: Tensor, least: int, largest: int, *, is_vector: bool = False, has_products: bool = False) -> None:
    """Checks that a parameter is in its number format (FORMAT.md, section 7).

    Args:
        name: its name.
        values: its integers, int8 if the largest is at most 127, else int16.
        least: the least that any may be.
        largest: the largest.
        is_vector: whether it must have one dimension.
        has_products: whether dot products of its rows with activations must be exact in float32.

    Raises:
        ValueError: It is not.
    """
    dtype = torch.int8 if largest <= MAX_WEIGHT else torch.int16
    if values.dtype != dtype or (is_vector and values.ndim != 1):
        raise ValueError(
            f"tensor {name} is {values.dtype} of shape {list(values.shape)}, expected {dtype}{' of one dimension' * is_vector}"
        )
    if values.numel() and not least <= int(values.min()) <= int(values.max()) <= largest:
        raise ValueError(f"tensor {name} has values of {int(values.min())}..{int(values.max())}, expected {least}..{largest}")
    if has_products and int(values.int().abs().flatten(1).sum(dim=1).max()) * MAX_ACTIVATION >= EXACT_LIMIT:
        raise ValueError(f"{name}: dot products could exceed {EXACT_LIMIT}")
