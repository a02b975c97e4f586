"""The layers that a user allows."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

from vqcodec.checks import check_flag
from vqcodec.rate.control import RateControl

Exact = Literal["auto", "off", "all"]
"""Names of what may be exact: what is cheaper so, nothing, or everything."""

EXACTS: Final[tuple[Exact, ...]] = get_args(Exact)


@dataclass(frozen=True)
class LayerOptions:
    """The layers that files may have.

    Attributes:
        exact: "auto" for exact patches where they are the better use of bytes, "off" for none, "all" for a lossless file.
        layers: whether there may be layers at all.

    Raises:
        TypeError: layers is neither True nor False.
        ValueError: exact is none of these, or "all" without layers.
    """

    exact: Exact = "auto"
    layers: bool = True

    def __post_init__(self) -> None:
        if self.exact not in EXACTS:
            raise ValueError(f"exact must be one of {', '.join(EXACTS)}, not {self.exact!r}")
        check_flag("layers", self.layers)
        if not self.layers and self.exact == "all":
            raise ValueError("exact pixels are a layer: exact must not be 'all' where there are to be no layers")

    def check_rate(self, rate: RateControl) -> None:
        """Checks that nothing of the rate that is asked for would go unheeded: a lossless file may have a limit, but has no quality.

        Raises:
            ValueError: quality, num_maps or rate_weight is given, though all is to be exact.
        """
        given = [name for name in ("quality", "num_maps", "rate_weight") if getattr(rate, name) is not None]
        if self.exact == "all" and given:
            raise ValueError(f"exact='all' writes a lossless file at any {given[0]}; only one of exact='all' and {given[0]} may be given")


DEFAULT_LAYERS: Final = LayerOptions()
"""The layers that files have where a user asks for nothing else."""
