"""Report of a benchmark as one HTML file: plots, BD-rates, and a viewer of decoded pictures. It loads nothing from anywhere."""

import base64
import html
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any, Final

from vqcodec.compare.colours import GREY, colours_of
from vqcodec.compare.rows import METRICS, Point, Published, Row, mean_curves

ORIGINAL: Final = "original"


@dataclass(frozen=True)
class View:
    """A picture to look at.

    Attributes:
        image: name of the image.
        codec: name of the codec that coded it, or `ORIGINAL`.
        setting: label of the codec's setting; empty for the original.
        data: bytes of a file that browsers show, which need not be the codec's own file.
        media_type: type of that file, such as "image/png".
    """

    image: str
    codec: str
    setting: str
    data: bytes
    media_type: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"image/[a-z0-9.+-]+", self.media_type):
            raise ValueError(f"media_type must be that of an image, such as image/png, not {self.media_type!r}")


@dataclass(frozen=True)
class BdRate:
    """The rate of a codec relative to an anchor.

    Attributes:
        codec: name of the codec.
        bd_rate_percent: mean difference in rate at equal quality, negative for fewer bits; None where undefined.
        note: further information, such as why it is undefined; may be empty.
    """

    codec: str
    bd_rate_percent: float | None
    note: str = ""


@dataclass(frozen=True)
class BdTable:
    """BD-rates by one metric against one anchor.

    Attributes:
        metric: key of one of `METRICS`.
        anchor: name of the codec that the others are compared with.
        rows: rows in the order shown.
    """

    metric: str
    anchor: str
    rows: Sequence[BdRate]


def report_html(
    rows: Iterable[Row],
    published: Sequence[Published],
    views: Sequence[View],
    *,
    title: str,
    bd_tables: Sequence[BdTable],
    about: Mapping[str, str],
    opens_on: Sequence[tuple[str, str]] = (),
) -> str:
    """Returns the report as a web page.

    Args:
        rows: measured rows.
        published: curves to draw beside the measured ones.
        views: pictures to compare; the first image is shown at first.
        title: heading and title of the window.
        bd_tables: tables in the order shown.
        about: what a reader must know of the measurement (versions, CPU, date, number of images), by name.
        opens_on: codec and setting of what is shown on the left and on the right at first; none for the original and the first codec.
    """
    data = report_data(list(rows), published, views, bd_tables=bd_tables, about=about, opens_on=opens_on)
    blob = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    parts = {
        "title": html.escape(title),
        "style": "".join(map(_resource, ("base.css", "report.css"))),
        "script": "".join(map(_resource, ("tools.js", "stage.js", "report.js", "viewer.js"))),
        "data": blob,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _resource("report.html"))


def report_data(
    rows: Sequence[Row],
    published: Sequence[Published],
    views: Sequence[View],
    *,
    bd_tables: Sequence[BdTable],
    about: Mapping[str, str],
    opens_on: Sequence[tuple[str, str]] = (),
) -> dict[str, Any]:
    """Returns what the report holds, in the types of JSON; an infinite value is "Infinity"."""
    curves = [_curve(name, None, points) for name, points in mean_curves(rows).items()]
    curves += [_curve(curve.name, curve.source, curve.points) for curve in published]
    colours = iter(colours_of([curve["name"] for curve in curves if curve["source"] is None]))
    for curve in curves:
        curve["light"], curve["dark"] = next(colours) if curve["source"] is None else GREY
    drawn = {key for curve in curves for point in curve["points"] for key, value in point["drawn"].items() if value is not None}
    measured = {(row.image, row.codec, row.setting): row for row in rows}
    return {
        "about": dict(about),
        "metrics": [asdict(metric) | {"axis_title": metric.axis_title, "has_curves": metric.key in drawn} for metric in METRICS],
        "curves": curves,
        "bd_tables": [asdict(table) for table in bd_tables],
        "opens_on": [list(view) for view in opens_on],
        "views": [_view(view, measured.get((view.image, view.codec, view.setting))) for view in views],
    }


def _curve(name: str, source: str | None, points: Sequence[Point]) -> dict[str, Any]:
    return {
        "name": name,
        "source": source,
        "points": [
            {key: _number(value) for key, value in asdict(point).items()}
            | {"drawn": {metric.key: metric.drawn(point) for metric in METRICS}}
            for point in points
        ],
    }


def _view(view: View, row: Row | None) -> dict[str, Any]:
    return {
        "image": view.image,
        "codec": view.codec,
        "setting": view.setting,
        "address": f"data:{view.media_type};base64,{base64.b64encode(view.data).decode()}",
        "row": {key: _number(value) for key, value in asdict(row).items()} if row else None,
    }


def _number(value: Any) -> Any:
    """Returns a value as JSON can hold it, which has no infinity."""
    return str(value).replace("inf", "Infinity") if isinstance(value, float) and not math.isfinite(value) else value


def _resource(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
