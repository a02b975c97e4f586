"""Options of encoding. Imports no torch."""

from typing import Literal, get_args

from vqcodec.format.container import CoderKind
from vqcodec.images.picture import ReadOptions
from vqcodec.rate.control import RateOptions
from vqcodec.rate.options import Exact

Coder = Literal["raw", "static", "prior"]
"""Names of the coders of a map."""


class EncodeOptions(RateOptions, ReadOptions, total=False):
    """The options of `Codec.encode`, which describes them."""

    coder: Coder | None
    verify: bool
    exact: Exact
    layers: bool


def coder_kind(coder: Coder | None) -> CoderKind | None:
    """Returns the coder of a name; None stands for whichever takes the fewest bytes.

    Raises:
        ValueError: No coder has this name.
    """
    if not (coder is None or (isinstance(coder, str) and coder in get_args(Coder))):
        raise ValueError(f"coder must be one of {', '.join(get_args(Coder))}, or None for the smallest, not {coder!r}")
    return None if coder is None else CoderKind[coder.upper()]
