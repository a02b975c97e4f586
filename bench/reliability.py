"""What kills, full disks and long runs do: commands whose figures docs/reliability.md states. They need a system that forks processes."""

import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Final

import click
import numpy as np

from bench.photos import PHOTOS, photo
from vqcodec.errors import VqcodecError

PICTURES: Final = 6
"""Pictures in the folder whose conversion is killed."""
_SIDE_PX: Final = 64
_DEADLINE_S: Final = 600.0
_POLL_S: Final = 0.001
_LONGEST_DELAY_S: Final = 0.2
_SMALLEST_PX, _LARGEST_PX = 8, 96


@dataclass
class Kills:
    """What kills of a command did.

    Attributes:
        killed: number of processes that were ended by the signal.
        completed: number of times that the folder was completed, with the right bytes each time.
        left: number of hidden files that were left behind.
        outputs: number of outputs that were there after each kill.
    """

    killed: int = 0
    completed: int = 0
    left: int = 0
    outputs: list[int] = field(default_factory=list)

    def as_text(self, command: str, name: str) -> str:
        """Returns the counts as a line."""
        outputs = f"with {min(self.outputs)} to {max(self.outputs)} of {PICTURES} outputs there" if self.outputs else ""
        return (
            f"{command}: {self.killed} processes ended by {name} {outputs}; 0 partial files, {self.left} hidden files left; "
            f"{self.completed} times completed to the same bytes"
        )


def run_kills(model: str, count: int, name: str, seed: int, processes: int) -> None:
    """Kills `encode` and `decode` of a folder at random moments, as often as said in all, and prints what that did.

    Raises:
        VqcodecError: A partial file was found, or a completed folder has other bytes than an undisturbed run wrote.
    """
    number = signal.Signals[f"SIG{name}"]
    with tempfile.TemporaryDirectory(prefix="vqcodec-kills-") as folder:
        root = Path(folder)
        (root / "pictures").mkdir()
        for index, source in enumerate(islice(cycle(PHOTOS), PICTURES)):
            photo(source).crop((0, 0, _SIDE_PX + 8 * index, _SIDE_PX)).save(root / "pictures" / f"{index}.png")
        options = ("--batch-size", "1", "--jobs", str(processes))
        encode = ("encode", str(root / "pictures"), "-o", f"{root}/files/", "-m", model, "-q", "5", "--no-layers", *options)
        decode = ("decode", str(root / "files"), "-o", f"{root}/back/", *options)
        rng = random.Random(seed)
        for command, share in ((encode, count - count // 2), (decode, count // 2)):
            click.echo(_kill_often(command, Path(command[3]), share, number, rng).as_text(command[0], f"SIG{name}"))


def _kill_often(command: Sequence[str], target: Path, count: int, number: signal.Signals, rng: random.Random) -> Kills:
    """Starts a command again and again, kills it after a random number of new outputs and a random time, and checks what is there."""
    if _wait_for(_started(command)) != 0:
        raise VqcodecError(f"{command[0]} failed without being disturbed")
    expected = {path.name: path.read_bytes() for path in target.iterdir()}
    shutil.rmtree(target)
    kills = Kills()
    while kills.killed < count:
        process = _started((*command, "--skip-existing"))
        status = _kill_after(process, target, rng.randrange(PICTURES), rng.uniform(0, _LONGEST_DELAY_S), number)
        found = {path.name: path.read_bytes() for path in target.iterdir()} if target.exists() else {}
        hidden = [name for name in found if name.startswith(".")]
        for name in hidden:
            (target / name).unlink()
            del found[name]
        kills.left += len(hidden)
        if any(expected.get(name) != data for name, data in found.items()):
            raise VqcodecError(f"{command[0]}: partial or different files under the names of outputs")
        if status == 0 and found != expected:
            raise VqcodecError(f"{command[0]}: ended without an error and left outputs out")
        if status != 0:
            kills.killed += 1
            kills.outputs.append(len(found))
        if found == expected:
            kills.completed += 1
            shutil.rmtree(target)
    if _wait_for(_started((*command, "--skip-existing"))) != 0 or {path.name: path.read_bytes() for path in target.iterdir()} != expected:
        raise VqcodecError(f"{command[0]}: was not completed by the last run")
    kills.completed += 1
    return kills


def _started(command: Sequence[str]) -> int:
    """Starts a command in a forked process, which has loaded what it needs already, and returns the number of the process."""
    import vqcodec.cli.workers  # noqa: F401 - loaded before the fork
    from vqcodec.cli import main

    process = os.fork()
    if process:
        return process
    code = 1
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        main(list(command), prog_name="vqcodec")
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 0
    finally:
        os._exit(code)


def _kill_after(process: int, target: Path, outputs: int, delay_s: float, number: signal.Signals) -> int:
    """Kills a process after so many new outputs and so much time, or when it has ended, and returns its exit code."""

    def num_outputs() -> int:
        return sum(not path.name.startswith(".") for path in target.iterdir()) if target.exists() else 0

    before = num_outputs()
    deadline = time.monotonic() + _DEADLINE_S
    while num_outputs() - before < outputs:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            raise VqcodecError(f"nothing was written in {_DEADLINE_S:.0f} s")
        time.sleep(_POLL_S)
    time.sleep(delay_s)
    os.kill(process, number)
    return _wait_for(process)


def _wait_for(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def run_memory(model: str, count: int, every: int) -> None:
    """Encodes and decodes pictures of random sizes in this process, and prints how much memory it takes after every `every` of them."""
    import torch

    from vqcodec import open_model

    torch.set_num_threads(1)
    codec = open_model(model)
    photos = [np.asarray(photo(name)) for name in PHOTOS]
    rng = np.random.default_rng(0)
    sizes = set()
    for done in range(1, count + 1):
        pixels = photos[done % len(photos)]
        height, width = rng.integers(_SMALLEST_PX, _LARGEST_PX + 1, 2)
        top, left = (int(rng.integers(0, whole - part)) for whole, part in zip(pixels.shape, (height, width), strict=False))
        sizes.add((height, width))
        codec.decode(codec.encode(pixels[top : top + height, left : left + width], quality=float(1 + done % 100), layers=False))
        if done % every == 0:
            click.echo(f"{done} pictures of {len(sizes)} sizes: {resident_mib():.0f} MiB resident, {time.process_time():.0f} CPU seconds")


def resident_mib() -> float:
    """Returns the resident memory of this process in MiB; the largest so far where the system does not tell that of now."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return pages * resource.getpagesize() / 2**20
