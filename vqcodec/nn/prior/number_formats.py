"""The number formats of the priors' fixed-point arithmetic (FORMAT.md, section 7): fractional bits and largest integers.

`fixed_point` says what they are for. They stand apart from it, since the kernels are used without torch.
"""

from typing import Final

ACTIVATION_BITS: Final = 5
STREAM_BITS: Final = 8
GATE_BITS: Final = 7
MAX_ACTIVATION: Final = 127
MAX_STREAM: Final = 32767
MAX_LOGIT: Final = 1023
MAX_WEIGHT: Final = 127
MAX_ATTENTION_WEIGHT: Final = 127
WEIGHT_BITS_RANGE: Final = (3, 12)
EXACT_LIMIT: Final = 1 << 24
"""Largest absolute sum of a dot product."""
