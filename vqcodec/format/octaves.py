"""Powers of two between 1/2 and 1 as integers, from which all integer exponentials are made (FORMAT.md, section 7)."""

from typing import Final

LOGIT_BITS: Final = 4
"""Number of fractional bits of a logit, which counts sixteenths of an octave."""

PLAIN_SHARPNESS: Final = 16
"""Sharpness of a prior whose logits count as they are: logits are multiplied by so many sixteenths."""

MAX_SHARPNESS: Final = 255
"""Largest sharpness of a prior."""

OCTAVE_BITS: Final = 30
"""Number of fractional bits of the table's entries."""

# fmt: off
OCTAVES: Final = (
    1073741824, 1028218693, 984625594, 942880699, 902905651, 864625413, 827968132, 792865000,
    759250125, 727060411, 696235434, 666717336, 638450708, 611382493, 585461881, 560640218,
)
# fmt: on
"""Table of 2^30 * 2^(-i / 16) for i in 0..15, rounded to the nearest integers."""
