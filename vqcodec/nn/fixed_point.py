"""Fixed-point arithmetic on floating-point tensors: numbers that are integers times a power of two, so that every sum of them is exact.

A float32 holds every integer up to 2^24, and scaling by a power of two changes nothing but the exponent. As long as the absolute sum of a
dot product stays below 2^24 units, any order of summation, any instruction set and any device gives the same bits (FORMAT.md, section 7).
Number formats, as fractional bits:

    activations  `ACTIVATION_BITS`  integers in [-127, 127], that is [-3.97, 3.97]; the only operands of products
    weights      one number of fractional bits an output channel, integers in [-127, 127]
    stream       `STREAM_BITS`      integers in [-32767, 32767], that is [-128, 128]: residual sums
    logits       `LOGIT_BITS`       in octaves: the probability of a code is in proportion to 2^logit

Sources: Balle, Johnston, Minnen 2019, "Integer Networks for Data Compression with Latent-Variable Models"; straight-through rounding as in
Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference".
"""

from enum import Enum
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from vqcodec.octaves import LOGIT_BITS, OCTAVE_BITS, OCTAVES

ACTIVATION_BITS: Final = 5
STREAM_BITS: Final = 8
GATE_BITS: Final = 7
MAX_ACTIVATION: Final = 127
MAX_STREAM: Final = 32767
MAX_LOGIT: Final = 1023
MAX_WEIGHT: Final = 127
WEIGHT_BITS_RANGE: Final = (3, 14)
MAX_ATTENTION_WEIGHT: Final = 127
EXACT_LIMIT: Final = 1 << 24


def _power(steps: int) -> int:
    """127 * 2^(-steps / 16), rounded half up, from the octave table."""
    halvings, sixteenths = divmod(steps, 1 << LOGIT_BITS)
    shift = OCTAVE_BITS + halvings
    return OCTAVES[sixteenths] * MAX_ATTENTION_WEIGHT + (1 << shift - 1) >> shift


_POWERS: Final = [_power(steps) for steps in range(1 << 8)]


class Arithmetic(Enum):
    """How a network computes: real numbers; fixed point with straight-through gradients; fixed point with summation known to be exact."""

    REAL = 0
    TRAINED = 1
    EXACT = 2


def fixed(x: Tensor, bits: int, largest: int, arithmetic: Arithmetic) -> Tensor:
    """Clamps x to integers of at most `largest` in units of 2^-bits, and rounds it half up to them unless the arithmetic is real."""
    limit = largest * 2.0**-bits
    if arithmetic is Arithmetic.EXACT:
        return (x * 2.0**bits).add_(0.5).floor_().mul_(2.0**-bits).clamp_(-limit, limit)
    if arithmetic is Arithmetic.TRAINED:
        x = x + (torch.floor(x.detach() * 2.0**bits + 0.5) * 2.0**-bits - x.detach())
    return F.hardtanh(x, -limit, limit)


def activation(stream: Tensor, arithmetic: Arithmetic) -> Tensor:
    """What a product may take of a stream."""
    return fixed(stream, ACTIVATION_BITS, MAX_ACTIVATION, arithmetic)


def stream(x: Tensor, arithmetic: Arithmetic) -> Tensor:
    """Turns x into a stream; real numbers are left as they are, being far from the limits."""
    return x if arithmetic is Arithmetic.REAL else fixed(x, STREAM_BITS, MAX_STREAM, arithmetic)


def gated(hidden: Tensor, arithmetic: Arithmetic) -> Tensor:
    """Activations [..., C] of a stream [..., 2C]: the first half times the hard sigmoid min(1, max(0, x / 4 + 1 / 2)) of the second."""
    value, gate = hidden.chunk(2, dim=-1)
    value = activation(value, arithmetic)
    half_range = fixed(gate * 0.25, GATE_BITS, 1 << (GATE_BITS - 1), arithmetic)
    return activation(value * (half_range + 0.5), arithmetic)


def weight_bits(weight: Tensor) -> Tensor:
    """Fractional bits of each output channel of a weight [O, ...]: the most with which its largest value is at most 127 units; [O]."""
    largest = weight.detach().abs().flatten(1).amax(dim=1).float().clamp_min(1e-9)
    bits = torch.floor(torch.log2(MAX_WEIGHT / largest))
    return bits.clamp(*WEIGHT_BITS_RANGE)


def fixed_weight(weight: Tensor, arithmetic: Arithmetic) -> Tensor:
    """The weight [O, ...] that products use: rounded when training in fixed point; taken as it is, being rounded already, when exact."""
    if arithmetic is not Arithmetic.TRAINED:
        return weight
    unit = torch.exp2(-weight_bits(weight)).view(-1, *[1] * (weight.ndim - 1))
    rounded = (torch.floor(weight.detach() / unit + 0.5).clamp(-MAX_WEIGHT, MAX_WEIGHT)) * unit
    return weight + (rounded - weight).detach()


def attention_weights(scores: Tensor, arithmetic: Arithmetic) -> Tensor:
    """127 * 2^(score - largest score) along the last dimension, rounded to integers; 0 for scores of minus infinity.

    Args:
        scores: in octaves, in units of 2^-`LOGIT_BITS`.
        arithmetic: in fixed point; when exact, the powers come from a table that integers alone made.
    """
    below = scores.amax(dim=-1, keepdim=True).clamp_min(-1e9) - scores
    if arithmetic is Arithmetic.TRAINED:
        weights = torch.exp2(-below) * MAX_ATTENTION_WEIGHT
        return weights + (torch.floor(weights.detach() + 0.5) - weights.detach())
    steps = (below * 2.0**LOGIT_BITS).clamp_(0, len(_POWERS) - 1).int()
    return F.embedding(steps, torch.tensor(_POWERS, dtype=scores.dtype, device=scores.device)[:, None])[..., 0]
