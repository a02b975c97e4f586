"""Tables of the drawings for the documents."""

from collections.abc import Sequence

from bench.graphics.measure import MARGIN_DB, QUALITIES, GraphicsRow, read_row
from bench.images import read_json, result_path
from bench.tables import NO_VALUE, table
from vqcodec.models.registry import DEFAULT_MODEL


def graphics() -> str:
    """Returns the margin in PSNR of each drawing over the better of WebP and AVIF, and its bytes beside those of lossless WebP."""
    of_pictures: dict[str, dict[int, GraphicsRow]] = {}
    for row in _rows():
        of_pictures.setdefault(row.picture, {})[row.quality] = row
    rows = []
    for picture, by_quality in of_pictures.items():
        margins = [_margin_cell(by_quality[quality]) for quality in QUALITIES]
        rows.append([picture, *margins, str(by_quality[50].bytes), str(by_quality[50].lossless_webp_bytes)])
    return table(["dB at quality", *map(str, QUALITIES), "bytes at 50", "lossless WebP"], rows)


def graphics_summary() -> str:
    """Returns, for each quality, how many drawings are behind, and the largest errors of colours."""
    rows = []
    for quality in QUALITIES:
        of_quality = [row for row in _rows() if row.quality == quality]
        margins = [row.margin_db for row in of_quality if row.margin_db is not None]
        low = sum(margin < MARGIN_DB for margin in margins)
        unchanged = sum(row.lossless for row in of_quality)
        rows.append([str(quality), f"{low} of {len(margins)}", str(unchanged), _largest_flat(of_quality), _largest_block(of_quality)])
    columns = ["quality", f"below {MARGIN_DB:g} dB", "unchanged", "largest error of a flat colour", "largest error of a block's mean"]
    return table(columns, rows)


def _rows() -> list[GraphicsRow]:
    return [read_row(values) for values in read_json(result_path("graphics", DEFAULT_MODEL, "graphics"))["rows"]]


def _margin_cell(row: GraphicsRow) -> str:
    return NO_VALUE if row.margin_db is None else f"{row.margin_db:+.1f}"


def _largest_flat(rows: Sequence[GraphicsRow]) -> str:
    return str(max((row.flat_error for row in rows if row.flat_error is not None), default=0))


def _largest_block(rows: Sequence[GraphicsRow]) -> str:
    worst = max(rows, key=lambda row: row.block_error)
    return f"{worst.block_error:.1f} ({worst.picture})"
