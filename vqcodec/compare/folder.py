"""The comparison of codecs on the pictures of a folder, and its report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

from vqcodec.compare.bd_rate import bd_tables
from vqcodec.compare.codecs import ImageCodec
from vqcodec.compare.machine import about_run
from vqcodec.compare.names import USUAL
from vqcodec.compare.opening import opening_views
from vqcodec.compare.ours import Vqcodec
from vqcodec.compare.quality import Quality
from vqcodec.compare.report import report_html
from vqcodec.compare.rows import METRICS, Point, Row, mean_curves, num_lacking, read_rows, rows_of
from vqcodec.compare.run import QUICK, WHOLE, RunFailures, Scope, expected_seconds, find_images, num_tasks, readable_images, run_benchmark
from vqcodec.compare.selection import Selection, codec_named, select_codecs
from vqcodec.compare.views import read_views
from vqcodec.errors import VqcodecError

_QUICK_QUALITIES: Final = (7, 22, 50, 76, 100)
"""Qualities of vqcodec in a quick comparison, whose files are less than `MAX_STEP` apart."""


@dataclass(frozen=True)
class FolderReport:
    """The report of a comparison.

    Attributes:
        html: the report as a web page.
        num_rows: number of measurements that it shows.
        left_out: lines about pictures that the means of all codecs, or of a metric, leave out; by what they concern.
    """

    html: str
    num_rows: int
    left_out: dict[str, str]


@dataclass(frozen=True)
class FolderComparison:
    """Codecs, and the pictures of a folder to compare them on.

    Attributes:
        folder: the folder.
        images: pictures that can be read, by the digest of their pixels.
        unreadable: one line a picture that cannot be read.
        selection: codecs to measure.
        anchor: name of the codec that the others' rates are compared with.
        missing: reason why a metric cannot be measured here, by its key.
        scope: how much is measured of each picture.
    """

    folder: Path
    images: dict[str, Path]
    unreadable: list[str]
    selection: Selection
    anchor: str
    missing: dict[str, str]
    scope: Scope

    @classmethod
    def of_folder(cls, folder: Path, codecs: Sequence[str], anchor: str, *, is_thorough: bool) -> Self:
        """Selects codecs and finds the pictures of a folder.

        Args:
            folder: folder of pictures.
            codecs: names of codecs; none for the usual ones, or for all where the comparison is thorough.
            anchor: name of a codec.
            is_thorough: whether whole pictures are compared, at all settings and by all metrics, which takes long; else the middle of each,
                at fewer qualities of vqcodec, by the metrics that take little time.

        Raises:
            VqcodecError: No codec has one of the names, or the folder holds no picture.
        """
        try:
            codec_named(anchor)
            selection = select_codecs(codecs or (() if is_thorough else USUAL))
        except ValueError as error:
            raise VqcodecError(str(error)) from error
        scope = WHOLE if is_thorough else QUICK
        if not is_thorough:
            selection = replace(selection, codecs=list(map(_quick, selection.codecs)))
        images, unreadable = readable_images(find_images(folder), scope)
        missing = {key: why for key, why in Quality().missing.items() if scope.metrics is None or key in scope.metrics}
        return cls(folder, images, unreadable, selection, anchor, missing, scope)

    def notes(self) -> list[str]:
        """Returns one line for everything that will not be measured, with the reason."""
        lines = [f"skipped {line}" for line in self.unreadable]
        lines += [f"skipped {name}: {reason}" for name, reason in self.selection.skipped.items()]
        lines += [f"not measured {name}: {reason}" for name, reason in self.missing.items()]
        if self.anchor not in self.selection.versions:
            lines.append(f"no BD-rates: the anchor {self.anchor} is not among the codecs measured")
        return lines

    def check(self) -> None:
        """Checks that there is something to measure.

        Raises:
            VqcodecError: No picture can be read, or no codec is installed.
        """
        if not self.images:
            raise VqcodecError(f"{self.folder}: holds no picture that can be read")
        if not self.selection.codecs:
            raise VqcodecError("no codec is left to measure")

    def num_tasks(self) -> int:
        """Returns the number of measurements of a complete run."""
        return num_tasks([*self.images.values()], self.selection)

    def expected_seconds(self, out: Path, jobs: int) -> float:
        """Estimates how long `measure` takes with so many tasks at a time; a few seconds are spent on finding out."""
        return expected_seconds(self.images, self.selection, out, self.scope, jobs)

    def measure(self, out: Path, *, views: Path, num_viewed: int, jobs: int, on_row: Callable[[int], None]) -> RunFailures:
        """Measures what `out` does not hold yet; arguments and errors are those of `run_benchmark`."""
        paths = [*self.images.values()]
        return run_benchmark(paths, self.selection, out, jobs=jobs, views=views, num_viewed=num_viewed, scope=self.scope, on_row=on_row)

    def report(self, out: Path, failures: RunFailures, *, views: Path | None, jobs: int) -> FolderReport:
        """Makes the report of what was measured.

        Args:
            out: file of rows that `measure` wrote; where nothing could be measured it may be absent.
            failures: what `measure` returned.
            views: folder of the views that `measure` kept; None to show no pictures.
            jobs: tasks at a time of that run, which the report names.
        """
        rows = rows_of(read_rows(out), self.selection.versions, self.images) if out.exists() else []
        rows = [replace(row, image=self.images[row.image_sha256].name) for row in rows]
        curves = mean_curves(rows)
        left_out = self._left_out(rows, curves)
        not_measured = {
            "skipped": self.selection.skipped,
            "not measured": self.missing,
            "unreadable": self.unreadable,
            "failed": failures.lines,
        }
        tables = bd_tables(curves, [self.anchor])
        side = self.scope.max_side_px
        html = report_html(
            rows,
            [],
            read_views(views, rows) if views else [],
            title=f"Rate and distortion: {self.folder.resolve().name}",
            bd_tables=tables,
            opens_on=opening_views(curves, tables),
            about={
                "images": str(len(self.images)),
                **({} if side is None else {"compared of each": f"the middle, at most {side}x{side} pixels"}),
                **about_run(jobs),
                **self.selection.versions,
                **left_out,
                **{name: "; ".join(lines) for name, lines in not_measured.items() if lines},
            },
        )
        return FolderReport(html, len(rows), left_out)

    @property
    def _measured(self) -> set[str]:
        """Keys of the metrics that can be measured and are wanted."""
        wanted = {metric.key for metric in METRICS} if self.scope.metrics is None else {"psnr_db", "ms_ssim", *self.scope.metrics}
        return wanted - self.missing.keys()

    def _left_out(self, rows: Sequence[Row], curves: Mapping[str, Sequence[Point]]) -> dict[str, str]:
        """Returns what `FolderReport.left_out` holds; metrics that cannot be measured at all have a line elsewhere."""
        count = len(self.images)
        points = [point for of_codec in curves.values() for point in of_codec]
        lines = {
            f"no curves of {metric.title}": f"{num_lacking(metric, rows)} of {count} pictures are too small or too large for it"
            for metric in METRICS
            if points and metric.key in self._measured and all(metric.of(point) is None for point in points)
        }
        compared = max((point.num_images or 0 for point in points), default=0)
        if compared < count:
            lines["compared"] = f"{compared} of {count} pictures, those that every codec coded and every metric is of"
        return lines


def _quick(codec: ImageCodec) -> ImageCodec:
    """Returns a codec with fewer settings, where it takes long."""
    return replace(codec, settings=_QUICK_QUALITIES) if isinstance(codec, Vqcodec) and codec.knob == "q" else codec
