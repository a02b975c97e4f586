"""Conversions in processes, most of which die, in a module that a new process loads soon."""

import os
import signal

from vqcodec.cli import workers
from vqcodec.cli.jobs import Job
from vqcodec.nn.progress import OnProgress


class DeadlyEncoding:
    """A conversion whose process dies at files of one name, and which warns of files of another."""

    batch_size, writers = 3, 1
    skip_existing = force = may_overlap = False

    def prepare(self) -> None:
        pass

    def read(self, job: Job) -> str:
        if job.source.name == "deadly":
            os.kill(os.getpid(), signal.SIGKILL)
        return job.source.name

    def warning(self, loaded: str) -> str:
        return "long" if loaded == "c" else ""

    def num_pixels(self, loaded: str) -> int:
        return 1

    def convert(self, batch: list[str], on_progress: OnProgress) -> list[str]:
        return batch

    def write(self, job: Job, loaded: str, converted: str) -> workers.FileResult:
        job.target.write_text(converted)
        return workers.FileResult(job)


class PoorEncoding(DeadlyEncoding):
    """A conversion that cannot be prepared."""

    def prepare(self) -> None:
        raise MemoryError


class ThreadCount(DeadlyEncoding):
    """A conversion that writes what numerical libraries are told when they are imported."""

    def __setstate__(self, state: object) -> None:
        self.told = os.environ["OMP_NUM_THREADS"]

    def __getstate__(self) -> object:
        return "of a process that starts"

    def read(self, job: Job) -> str:
        return self.told
