"""The codecs that are compared, and those of them that are installed."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from vqcodec.compare.codecs import ImageCodec
from vqcodec.compare.others import OTHERS
from vqcodec.compare.ours import VQCODEC

CODECS: Final[tuple[ImageCodec, ...]] = (*VQCODEC, *OTHERS)
"""Codecs that are compared by default, in the order of plots."""


@dataclass(frozen=True)
class Selection:
    """Codecs to measure.

    Attributes:
        codecs: codecs that are installed.
        versions: version of each of them, by name.
        skipped: reason why another codec is not used, by name.
    """

    codecs: list[ImageCodec] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def select_codecs(names: Sequence[str] = (), known: Sequence[ImageCodec] = CODECS) -> Selection:
    """Selects codecs by name, each once, as far as they are installed.

    Args:
        names: names of codecs; none for all.
        known: codecs to select from.

    Raises:
        ValueError: A name that no codec has.
    """
    selection = Selection()
    for codec in [codec_named(name, known) for name in dict.fromkeys(names)] or known:
        try:
            selection.versions[codec.name] = codec.version()
            selection.codecs.append(codec)
        except (ImportError, OSError, RuntimeError, subprocess.CalledProcessError) as error:
            selection.skipped[codec.name] = str(error)
    return selection


def codec_named(name: str, known: Sequence[ImageCodec] = CODECS) -> ImageCodec:
    """Returns the codec of a name.

    Raises:
        ValueError: No codec has this name.
    """
    by_name = {codec.name: codec for codec in known}
    if name not in by_name:
        raise ValueError(f"no codec is called {name!r}; known are {', '.join(by_name)}")
    return by_name[name]
