"""Results of converting files, shown as they come."""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import click

from vqcodec.cli.files import STANDARD_STREAM, input_name
from vqcodec.cli.jobs import Job
from vqcodec.cli.messages import one_line, tell
from vqcodec.errors import VqcodecError
from vqcodec.format.container import bits_per_pixel


@dataclass(frozen=True)
class FileResult:
    """The result of one job.

    Attributes:
        job: the job.
        error: the reason why the job failed, or None.
        num_bytes: length of the .vq file.
        width, height: size of the image in pixels.
        seconds: the job's share of the time of its batch.
        note: what the user should know of a job that succeeded; may be empty.
    """

    job: Job
    error: VqcodecError | None = None
    num_bytes: int = 0
    width: int = 0
    height: int = 0
    seconds: float = 0.0
    note: str = ""

    @property
    def bpp(self) -> float:
        """The length of the .vq file in bits per pixel."""
        return bits_per_pixel(self.num_bytes, self.width, self.height)

    def as_json(self, seconds_key: str) -> str:
        """Returns the figures as a JSON object, the seconds under `seconds_key`."""
        return json.dumps(
            {
                "input": str(self.job.source),
                "output": str(self.job.target),
                "num_bytes": self.num_bytes,
                "bpp": round(self.bpp, 6),
                seconds_key: round(self.seconds, 4),
            }
        )

    def as_text(self) -> str:
        """Returns the figures as a line for people."""
        size = f"{self.width}x{self.height}"
        return one_line(f"{self.job.source} -> {self.job.target}  {size}  {self.num_bytes} bytes  {self.bpp:.3f} bpp")


def show_results(jobs: Sequence[Job], results: Iterable[FileResult], *, seconds_key: str, as_json: bool) -> None:
    """Shows each result as it comes, and exits with code 1 where a job failed.

    Progress, errors and lines of text go to standard error. JSON goes to standard output, unless that takes a file.

    Args:
        jobs: all jobs.
        results: a result for each of them.
        seconds_key: key of the seconds in JSON.
        as_json: whether figures are shown as JSON.
    """
    to_stdout = any(job.target == STANDARD_STREAM for job in jobs)
    failed = 0
    with click.progressbar(length=len(jobs), file=sys.stderr, hidden=len(jobs) < 2 or not (sys.stderr and sys.stderr.isatty())) as bar:
        for result in results:
            bar.update(1)
            if result.error is not None:
                failed += 1
                tell(str(result.error))
                continue
            if result.note:
                tell(f"{input_name(result.job.source)}: {result.note}")
            if as_json:
                click.echo(result.as_json(seconds_key), err=to_stdout)
            else:
                click.echo(result.as_text(), err=True)
    if failed:
        if len(jobs) > 1:
            tell(f"{failed} of {len(jobs)} files failed")
        sys.exit(1)
