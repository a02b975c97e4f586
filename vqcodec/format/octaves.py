"""Powers of two between 2^-1 and 1 as integers: the one table that integer exponentials are made from (FORMAT.md, section 7)."""

from typing import Final

LOGIT_BITS: Final = 4
"""Fractional bits of logits: they count sixteenths of an octave."""

OCTAVE_BITS: Final = 30

# fmt: off
OCTAVES: Final = (
    1073741824, 1028218693, 984625594, 942880699, 902905651, 864625413, 827968132, 792865000,
    759250125, 727060411, 696235434, 666717336, 638450708, 611382493, 585461881, 560640218,
)
# fmt: on
"""2^30 * 2^(-i / 16), rounded to the nearest integer, for i in 0..15."""
