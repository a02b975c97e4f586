"""Which two pictures a report shows first: vqcodec's beside the strongest other codec's, in about as many bytes."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from vqcodec.compare.names import USUAL
from vqcodec.compare.report import BdTable
from vqcodec.compare.rows import Point

_OURS = USUAL[0]


def opening_views(curves: Mapping[str, Sequence[Point]], tables: Sequence[BdTable]) -> list[tuple[str, str]]:
    """Returns codec and setting of what a report shows on the left and on the right at first.

    On the right is vqcodec at its setting of middling rate. On the left is the codec of others whose mean BD-rate over all metrics is the
    lowest, at the setting whose rate is nearest.

    Args:
        curves: means over the images, by codec.
        tables: BD-rates of the codecs; those of a codec that is the anchor are 0.

    Returns:
        Two pairs; nothing where vqcodec or every other codec was not measured.
    """
    others = [name for name, points in curves.items() if points and not name.startswith(_OURS)]
    ours = sorted(curves.get(_OURS, ()), key=lambda point: point.bpp)
    if not ours or not others:
        return []
    shown = ours[len(ours) // 2]
    strongest = min(others, key=lambda name: _mean_rate(name, tables))
    nearest = min(curves[strongest], key=lambda point: abs(math.log(point.bpp / shown.bpp)))
    return [(strongest, nearest.setting), (_OURS, shown.setting)]


def _mean_rate(codec: str, tables: Sequence[BdTable]) -> float:
    """Returns the mean BD-rate of a codec in percent; infinite where none is known."""
    rates = [0.0 for table in tables if table.anchor == codec]
    rates += [row.bd_rate_percent for table in tables for row in table.rows if row.codec == codec and row.bd_rate_percent is not None]
    return fmean(rates) if rates else math.inf
