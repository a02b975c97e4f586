"""Rate-distortion curves as SVG files. Needs matplotlib (the `bench` extra)."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vqcodec.compare.colours import GREY, colours_of
from vqcodec.compare.rows import METRICS, Metric, Point, Published, Row, mean_curves
from vqcodec.errors import VqcodecError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKERS: Final = "os^DvPX*"

MARGIN: Final = 1.05
"""Factor by which the axis of rates goes beyond the measured curves. Published curves are drawn as far as these go."""


def write_plots(folder: Path, rows: Iterable[Row], published: Sequence[Published]) -> list[Path]:
    """Writes `METRIC.svg` for every metric that more than one codec has values of; the same data gives the same bytes.

    Args:
        folder: folder for the files, created if absent.
        rows: measured rows, drawn solid.
        published: published curves, drawn dashed.

    Returns:
        The files that were written.

    Raises:
        VqcodecError: Matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise VqcodecError("drawing plots needs matplotlib, of the extra [bench]: pip install 'vqcodec[bench]'") from error

    folder.mkdir(parents=True, exist_ok=True)
    curves: list[tuple[str, Sequence[Point], bool]] = [(name, points, True) for name, points in mean_curves(rows).items()]
    curves += [(f"{curve.name} (published)", curve.points, False) for curve in published]
    written = []
    for metric in METRICS:
        if sum(any(metric.drawn(point) is not None for point in points) for _, points, _ in curves) < 2:
            continue
        with mpl.rc_context({"svg.hashsalt": "vqcodec", "font.size": 10, "text.parse_math": False}):
            figure = _draw(metric, curves)
            written.append(folder / f"{metric.key}.svg")
            figure.savefig(written[-1], metadata={"Date": None})
    return written


def _draw(metric: Metric, curves: Sequence[tuple[str, Sequence[Point], bool]]) -> "Figure":
    from matplotlib.figure import Figure
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

    figure = Figure(figsize=(9, 6.5), layout="constrained")
    axes = figure.subplots()
    rates = [point.bpp for _, points, measured in curves for point in points if measured and metric.drawn(point) is not None]
    lowest, highest = (min(rates) / MARGIN, max(rates) * MARGIN) if rates else (0.0, math.inf)
    colours = iter(colours_of([name for name, _, measured in curves if measured]))
    for number, (name, points, measured) in enumerate(curves):
        colour = next(colours)[0] if measured else GREY[0]
        drawn = [(point.bpp, value) for point in points if lowest <= point.bpp <= highest and (value := metric.drawn(point)) is not None]
        if not drawn:
            continue
        axes.plot(
            [bpp for bpp, _ in drawn],
            [value for _, value in drawn],
            linestyle="solid" if measured else "dashed",
            color=colour,
            marker=MARKERS[number % len(MARKERS)],
            linewidth=1.5 if measured else 0.8,
            markersize=5,
            markerfacecolor=None if measured else "white",
            label=name,
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="bits per pixel", ylabel=metric.axis_title)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=9, handlelength=3)
    return figure
