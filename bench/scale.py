"""What very many pictures take, computed from what was measured of single ones."""

from typing import Final

from bench.images import RESULTS, read_json
from bench.rd import current_rows
from bench.tables import table
from vqcodec.compare.rows import mean_curves
from vqcodec.models.dial import DEFAULT_QUALITY
from vqcodec.models.registry import DEFAULT_MODEL

MILLION: Final = 10**6
_DAY_S: Final = 86_400


def scale_table() -> str:
    """Returns core hours and bytes of a million photos by their size, at the default quality, and the cores that take a day for them."""
    speed = read_json(RESULTS / f"speed-{DEFAULT_MODEL}.json")
    points = mean_curves(current_rows("kodak"))["vqcodec"]
    bpp = next(point.bpp for point in points if point.setting == f"q{DEFAULT_QUALITY:g}")
    rows = []
    for row in speed["rows"]:
        if row["device"] != "cpu":
            continue
        pixels = row["width"] * row["height"]
        core_s = row["encode_s"] * speed["about"]["rows"]["threads"]
        num_bytes = bpp * pixels / 8
        rows.append(
            [
                f"{row['width']}x{row['height']}",
                f"{core_s:.2f} s",
                f"{MILLION * core_s / 3600:,.0f}",
                f"{MILLION * core_s / _DAY_S:,.0f}",
                f"{num_bytes / 1e3:,.1f} kB",
                f"{MILLION * num_bytes / 1e9:,.1f} GB",
                f"{1000 * MILLION * num_bytes / 1e12:,.1f} TB",
            ]
        )
    columns = ["photo", "core seconds", "core hours a million", "cores for a million a day", "bytes", "bytes a million", "bytes a billion"]
    return table(columns, rows)
