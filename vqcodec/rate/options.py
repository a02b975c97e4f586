"""The layers that a user allows."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

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
        if not isinstance(self.layers, bool):
            raise TypeError(f"layers must be True or False, not {self.layers!r}")
        if not self.layers and self.exact == "all":
            raise ValueError("exact pixels are a layer: exact must not be 'all' where there are to be no layers")


DEFAULT_LAYERS: Final = LayerOptions()
"""The layers that files have where a user asks for nothing else."""
