"""Results of converting files, shown as they come and summed up at the end."""

import json
import sys
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from vqcodec.cli.files import STANDARD_STREAM, input_name
from vqcodec.cli.jobs import Job, Plan
from vqcodec.cli.messages import one_line, tell
from vqcodec.cli.progress import duration, progress, say
from vqcodec.errors import VqcodecError
from vqcodec.format.container import bits_per_pixel


@dataclass(frozen=True)
class FileResult:
    """The result of one job.

    Attributes:
        job: the job.
        error: the reason why the job failed, or None.
        is_kept: whether a finished output was there already and was kept.
        source_bytes: length of the input.
        target_bytes: length of the output.
        num_bytes: length of that of both which is the .vq file.
        width, height: size of the image in pixels.
        part: width and height of the region that was decoded, or None for all of the image.
        seconds: the job's share of the time of its batch, beside which another one may have been converted.
        note: what the user should know of a job that succeeded; may be empty.
    """

    job: Job
    error: VqcodecError | None = None
    is_kept: bool = False
    source_bytes: int = 0
    target_bytes: int = 0
    num_bytes: int = 0
    width: int = 0
    height: int = 0
    part: tuple[int, int] | None = None
    seconds: float = 0.0
    note: str = ""

    @property
    def bpp(self) -> float:
        """The length of the .vq file in bits per pixel."""
        return bits_per_pixel(self.num_bytes, self.width, self.height)

    def as_json(self, seconds_key: str) -> dict[str, Any]:
        """Returns the figures for a JSON object, the seconds under `seconds_key`."""
        named: dict[str, Any] = {"input": str(self.job.source), "output": str(self.job.target)}
        if self.error is not None:
            return {**named, "error": str(self.error)}
        if self.is_kept:
            return {**named, "kept": True}
        sizes = {"source_bytes": self.source_bytes, "target_bytes": self.target_bytes, "num_bytes": self.num_bytes}
        return {**named, **sizes, "bpp": round(self.bpp, 6), seconds_key: round(self.seconds, 4)}

    def as_text(self) -> str:
        """Returns the figures as a line for people."""
        if self.is_kept:
            return one_line(f"{self.job.source} -> {self.job.target}  kept, which was finished before")
        sizes = _change(self.source_bytes, self.target_bytes)
        part = "" if self.part is None else f"{self.part[0]}x{self.part[1]} of "
        return one_line(f"{self.job.source} -> {self.job.target}  {part}{self.width}x{self.height}  {sizes}  {self.bpp:.3f} bpp")


@dataclass(frozen=True)
class Notice:
    """What the user should know of a job before its work is done."""

    job: Job
    text: str


Results = Generator[FileResult | Notice, None, None]
"""Results as they come, each after the notices of its job."""


@dataclass
class Summary:
    """What has become of all jobs together.

    Attributes:
        jobs: number of jobs.
        done, kept, failed: numbers of those that were converted, whose finished outputs were kept, and that failed.
        source_bytes, target_bytes: lengths of the inputs and outputs of those that were converted.
        num_bytes, pixels: lengths of their .vq files, and their pixels.
    """

    jobs: int
    done: int = 0
    kept: int = 0
    failed: int = 0
    source_bytes: int = 0
    target_bytes: int = 0
    num_bytes: int = 0
    pixels: int = 0

    def add(self, result: FileResult) -> None:
        """Adds the result of a job."""
        if result.error is not None:
            self.failed += 1
        elif result.is_kept:
            self.kept += 1
        else:
            self.done += 1
            self.source_bytes += result.source_bytes
            self.target_bytes += result.target_bytes
            self.num_bytes += result.num_bytes
            self.pixels += result.width * result.height

    @property
    def bpp(self) -> float | None:
        """Bits per pixel of all .vq files together; None where nothing was converted."""
        return bits_per_pixel(self.num_bytes, self.pixels, 1) if self.pixels else None

    def as_json(self, seconds: float) -> dict[str, Any]:
        """Returns the figures for a JSON object."""
        counts = {"files": self.jobs, "done": self.done, "kept": self.kept, "failed": self.failed}
        sizes = {"source_bytes": self.source_bytes, "target_bytes": self.target_bytes, "num_bytes": self.num_bytes}
        bpp = None if self.bpp is None else round(self.bpp, 6)
        return {"summary": {**counts, **sizes, "bpp": bpp, "seconds": round(seconds, 3)}}

    def as_text(self, seconds: float) -> str:
        """Returns the figures as a line for people."""
        parts = [f"{self.done:,} of {self.jobs:,} files converted"]
        if self.kept:
            parts.append(f"{self.kept:,} kept, which were finished before")
        if self.bpp is not None:
            parts.append(f"{_change(self.source_bytes, self.target_bytes)}, {self.bpp:.3f} bpp")
        return f"{'; '.join(parts)}; {duration(seconds)}"


def show_results(plan: Plan, results: Results, *, seconds_key: str, as_json: bool, is_quiet: bool = False) -> None:
    """Shows each result as it comes and a summary of several, and exits with code 1 where a job failed.

    Progress, errors and lines of text go to standard error. JSON goes to standard output, unless that takes a file.

    Args:
        plan: all jobs.
        results: a result for each of them, and notices before; it is closed, so that an error or Ctrl-C here ends the work as well.
        seconds_key: key of the seconds in JSON.
        as_json: whether figures are shown as JSON.
        is_quiet: whether only errors and JSON are shown.

    Raises:
        KeyboardInterrupt: The user stops the work; what is done by then is told first.
    """
    to_stdout = any(job.target == STANDARD_STREAM for job in plan.jobs)
    started = time.monotonic()
    summary = Summary(len(plan.jobs))
    for note in plan.notes if not is_quiet else ():
        tell(note)
    try:
        with closing(results), progress(len(plan.jobs), "files", is_shown=not is_quiet) as bar:
            for result in results:
                if isinstance(result, Notice):
                    if not is_quiet:
                        tell(f"{input_name(result.job.source)}: {result.text}")
                    continue
                summary.add(result)
                _show(result, seconds_key=seconds_key, as_json=as_json, to_stdout=to_stdout, is_quiet=is_quiet, is_one=not plan.is_batch)
                bar.update()
    except KeyboardInterrupt:
        tell(f"stopped: {summary.as_text(time.monotonic() - started)}; what is finished is whole, and --skip-existing keeps it")
        raise
    seconds = time.monotonic() - started
    if plan.is_batch and as_json:
        say(json.dumps(summary.as_json(seconds)), err=to_stdout)
    elif plan.is_batch and not is_quiet:
        say(summary.as_text(seconds))
    if summary.failed:
        if len(plan.jobs) > 1:
            tell(f"{summary.failed} of {len(plan.jobs)} files failed")
        sys.exit(1)


def _show(result: FileResult, *, seconds_key: str, as_json: bool, to_stdout: bool, is_quiet: bool, is_one: bool) -> None:
    if result.error is not None:
        tell(str(result.error))
    elif result.note and not is_quiet:
        tell(f"{input_name(result.job.source)}: {result.note}")
    if as_json:
        say(json.dumps(result.as_json(seconds_key)), err=to_stdout)
    elif result.error is None and (is_one or not result.is_kept) and not is_quiet:
        say(result.as_text())


def _change(before: int, after: int) -> str:
    """Returns two lengths in bytes for people, and how they compare."""
    share = f" ({100 * after / before:.1f}%)" if before else ""
    return f"{before:,} -> {after:,} bytes{share}"
