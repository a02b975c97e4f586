"""The comparison of codecs on the pictures of a folder, and its report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from vqcodec.compare.bd_rate import bd_tables
from vqcodec.compare.machine import about_run
from vqcodec.compare.quality import Quality
from vqcodec.compare.report import report_html
from vqcodec.compare.rows import METRICS, Point, Row, mean_curves, num_lacking, read_rows, rows_of
from vqcodec.compare.run import RunFailures, find_images, num_tasks, readable_images, run_benchmark
from vqcodec.compare.selection import Selection, codec_named, select_codecs
from vqcodec.compare.views import read_views
from vqcodec.errors import VqcodecError


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
    """

    folder: Path
    images: dict[str, Path]
    unreadable: list[str]
    selection: Selection
    anchor: str
    missing: dict[str, str]

    @classmethod
    def of_folder(cls, folder: Path, codecs: Sequence[str], anchor: str) -> Self:
        """Selects codecs and finds the pictures of a folder.

        Args:
            folder: folder of pictures.
            codecs: names of codecs; none for all.
            anchor: name of a codec.

        Raises:
            VqcodecError: No codec has one of the names, or the folder holds no picture.
        """
        try:
            codec_named(anchor)
            selection = select_codecs(codecs)
        except ValueError as error:
            raise VqcodecError(str(error)) from error
        images, unreadable = readable_images(find_images(folder))
        return cls(folder, images, unreadable, selection, anchor, Quality().missing)

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

    def measure(self, out: Path, *, views: Path, num_viewed: int, jobs: int, on_row: Callable[[int], None]) -> RunFailures:
        """Measures what `out` does not hold yet; arguments and errors are those of `run_benchmark`."""
        paths = [*self.images.values()]
        return run_benchmark(paths, self.selection, out, jobs=jobs, views=views, num_viewed=num_viewed, on_row=on_row)

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
        html = report_html(
            rows,
            [],
            read_views(views, rows) if views else [],
            title=f"Rate and distortion: {self.folder.resolve().name}",
            bd_tables=bd_tables(curves, [self.anchor]),
            about={
                "images": str(len(self.images)),
                **about_run(jobs),
                **self.selection.versions,
                **left_out,
                **{name: "; ".join(lines) for name, lines in not_measured.items() if lines},
            },
        )
        return FolderReport(html, len(rows), left_out)

    def _left_out(self, rows: Sequence[Row], curves: Mapping[str, Sequence[Point]]) -> dict[str, str]:
        """Returns what `FolderReport.left_out` holds; metrics that cannot be measured at all have a line elsewhere."""
        count = len(self.images)
        points = [point for of_codec in curves.values() for point in of_codec]
        lines = {
            f"no curves of {metric.title}": f"{num_lacking(metric, rows)} of {count} pictures are too small or too large for it"
            for metric in METRICS
            if points and metric.key not in self.missing and all(metric.of(point) is None for point in points)
        }
        compared = max((point.num_images or 0 for point in points), default=0)
        if compared < count:
            lines["compared"] = f"{compared} of {count} pictures, those that every codec coded and every metric is of"
        return lines
