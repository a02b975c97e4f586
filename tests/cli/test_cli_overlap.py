"""Checks batches that are converted two at a time: their results, their errors, and what becomes of them at Ctrl-C."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import run, save_pictures
from vqcodec.cli import batches
from vqcodec.cli.batches import Conversion, convert_files
from vqcodec.cli.jobs import Job, Plan
from vqcodec.cli.overlap import Work, stop_all
from vqcodec.cli.progress import progress
from vqcodec.cli.results import FileResult, Notice, show_results
from vqcodec.errors import VqcodecError
from vqcodec.models.devices import MAX_BATCH_PIXELS, needs_torch
from vqcodec.nn.progress import OnProgress

SOON_S = 20
"""Seconds within which what must happen does."""


class Overlapping(Conversion[str, str]):
    """A conversion of names, each a batch by itself, that does what it is told when it comes to a name."""

    batch_size = 1
    force = skip_existing = False
    may_overlap = True

    def __init__(self, acts: dict[str, Callable[[OnProgress], object]]) -> None:
        self.acts = acts
        self.begun: list[str] = []

    def prepare(self) -> None:
        pass

    def check_finished(self, target: Path) -> None:
        pass

    def read(self, job: Job) -> str:
        if job.source.name.startswith("broken"):
            raise VqcodecError(f"{job.source} is broken")
        return job.source.name

    def warning(self, loaded: str) -> str:
        return "large" if loaded.startswith("large") else ""

    def num_pixels(self, loaded: str) -> int:
        return MAX_BATCH_PIXELS if loaded.startswith("large") else 1

    def convert(self, batch: list[str], on_progress: OnProgress) -> list[str]:
        self.begun += batch
        for name in batch:
            self.acts.get(name, lambda _: None)(on_progress)
        return batch

    def write(self, job: Job, loaded: str, converted: str) -> FileResult:
        job.target.write_text(converted)
        return FileResult(job)


def jobs_of(folder: Path, *names: str) -> list[Job]:
    return [Job(folder / name, folder / f"{name}.out") for name in names]


def told(items: Iterator[FileResult | Notice]) -> list[str]:
    """Returns the name of each file, those of warnings and failures marked."""
    return [item.job.source.name + ("?" if isinstance(item, Notice) else "" if item.error is None else f": {item.error}") for item in items]


def waits_for(event: threading.Event) -> Callable[[OnProgress], object]:
    def wait(_: OnProgress) -> None:
        assert event.wait(SOON_S)

    return wait


def goes_on(_: OnProgress) -> None:
    while True:
        time.sleep(0.001)


def test_two_batches_are_in_work_and_results_keep_their_order(tmp_path: Path) -> None:
    second, third = threading.Event(), threading.Event()
    conversion = Overlapping({"a": waits_for(second), "b": lambda _: second.set(), "c": lambda _: third.set(), "d": waits_for(third)})
    found = told(convert_files(jobs_of(tmp_path, "a", "b", "broken", "c", "large", "d", "e"), conversion))
    assert found == ["a", "b", f"broken: {tmp_path}/broken is broken", "c", "large?", "large", "d", "e"]


def test_no_third_batch_is_begun_before_the_first_is_taken(tmp_path: Path) -> None:
    conversion = Overlapping({})
    results = convert_files(jobs_of(tmp_path, "a", "b", "c", "d"), conversion)
    assert told(iter([next(results)])) == ["a"]
    assert set(conversion.begun) <= {"a", "b", "c"} and "d" not in conversion.begun
    assert told(results) == ["b", "c", "d"]


def test_a_batch_that_is_done_makes_room_for_few_others_while_the_first_is_in_work(tmp_path: Path) -> None:
    third = threading.Event()

    def wait(on_progress: OnProgress) -> None:
        waits_for(third)(on_progress)
        time.sleep(0.3)  # in which more could begin

    begun_before: list[str] = []
    conversion = Overlapping({"a": lambda told: [wait(told), begun_before.extend(conversion.begun)], "c": lambda _: third.set()})
    assert told(convert_files(jobs_of(tmp_path, *"abcdefgh"), conversion)) == [*"abcdefgh"]
    assert begun_before == [*"abcd"]


def test_batches_become_smaller_towards_the_end(tmp_path: Path) -> None:
    sizes = []

    class Large(Overlapping):
        batch_size = 5

        def convert(self, batch: list[str], on_progress: OnProgress) -> list[str]:
            sizes.append(len(batch))
            return super().convert(batch, on_progress)

    names = [f"{number:02}" for number in range(20)]
    assert told(convert_files(jobs_of(tmp_path, *names), Large({}))) == names
    assert sorted(sizes, reverse=True) == [5, 4, 3, 2, 2, 1, 1, 1, 1]


def test_a_large_picture_is_converted_alone_and_in_the_main_thread(tmp_path: Path) -> None:
    threads: dict[str, threading.Thread] = {}
    written: list[bool] = []

    def note(name: str) -> Callable[[OnProgress], object]:
        return lambda _: threads.update({name: threading.current_thread()})

    def large(_: OnProgress) -> None:
        note("large")(_)
        written.extend((tmp_path / f"{name}.out").exists() for name in "ab")

    conversion = Overlapping({"a": note("a"), "large": large, "b": note("b")})
    assert told(convert_files(jobs_of(tmp_path, "a", "large", "b"), conversion)) == ["a", "large?", "large", "b"]
    assert [name for name, thread in threads.items() if thread is threading.main_thread()] == ["large"] and written == [True, False]


def test_a_batch_that_memory_does_not_hold_beside_others_is_converted_after_them(tmp_path: Path) -> None:
    has_begun, is_short, is_done = threading.Event(), threading.Event(), threading.Event()

    def lacks(_: OnProgress) -> None:
        assert has_begun.wait(SOON_S)
        if not is_done.is_set():
            is_short.set()
            raise MemoryError

    def work(_: OnProgress) -> None:
        has_begun.set()
        assert is_short.wait(SOON_S)
        is_done.set()

    conversion = Overlapping({"a": lacks, "b": work})
    assert told(convert_files(jobs_of(tmp_path, "a", "b", "c"), conversion)) == ["a", "b", "c"]
    assert conversion.begun.count("a") == 2

    def always_lacks(_: OnProgress) -> None:
        raise MemoryError

    found = told(convert_files(jobs_of(tmp_path, "a", "b"), Overlapping({"a": always_lacks})))
    assert found == [f"a: {tmp_path}/a: cannot be converted: not enough memory", "b"]


@pytest.mark.parametrize("names", ["ab", "abc"])
def test_an_output_that_cannot_be_made_stops_no_other_of_its_batch(tmp_path: Path, names: str) -> None:
    class Failing(Overlapping):
        batch_size = 2

        def write(self, job: Job, loaded: str, converted: str) -> FileResult:
            if loaded == "b":
                raise RuntimeError("no output")
            return super().write(job, loaded, converted)

    conversion = Failing({})
    found = told(convert_files(jobs_of(tmp_path, *names), conversion))
    assert found == ["a", f"b: {tmp_path}/b: cannot be converted: no output", *names[2:]] and sorted(conversion.begun) == [*names]


def test_what_no_file_is_to_blame_for_ends_the_work(tmp_path: Path) -> None:
    def fail(_: OnProgress) -> None:
        raise VqcodecError("there is no device")

    with pytest.raises(VqcodecError, match="there is no device"):
        told(convert_files(jobs_of(tmp_path, "a", "b", "c"), Overlapping({"b": fail})))


def test_the_progress_of_both_batches_is_shown(tmp_path: Path) -> None:
    is_shown = threading.Event()

    def work(on_progress: OnProgress) -> None:
        on_progress(0.25)
        assert is_shown.wait(SOON_S)

    shares: list[float] = []
    with progress(2, "files", is_shown=False) as bar, pytest.MonkeyPatch.context() as patch:

        def show(share: float) -> None:
            shares.append(share)
            if share == 0.5:
                is_shown.set()

        patch.setattr(bar, "move_within", show)
        told(convert_files(jobs_of(tmp_path, "a", "b"), Overlapping({"a": work, "b": work})))
    assert shares and max(shares) == 0.5


def test_work_that_is_stopped_before_it_has_begun_does_nothing() -> None:
    work = Work(lambda _: [1])
    work.stop()
    work.start()
    stop_all([work])
    assert work.is_over and work.results == []


def test_a_stop_that_its_thread_meets_outside_of_the_work_is_waited_for_no_longer_than_the_thread() -> None:
    class Ended(Work[int]):
        def _run(self) -> None:
            """Ends as a stop does that comes before the work or after it."""

    work = Ended(lambda _: [1])
    work.start()
    waiting = threading.Thread(target=stop_all, args=([work],), daemon=True)
    waiting.start()
    waiting.join(SOON_S)
    assert not waiting.is_alive() and not work.is_over


@pytest.mark.parametrize("error", [KeyboardInterrupt, BrokenPipeError])
def test_an_error_while_results_are_shown_stops_what_is_in_work(
    tmp_path: Path, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    has_begun, is_stopped = threading.Event(), threading.Event()

    def work(_: OnProgress) -> None:
        try:
            has_begun.set()
            while True:
                time.sleep(0.001)
        finally:
            is_stopped.set()

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("vqcodec.cli.results._show", fail)
    jobs = jobs_of(tmp_path, "a", "b", "c")
    results = convert_files(jobs, Overlapping({"a": waits_for(has_begun), "b": work}))
    with pytest.raises(error) as raised:
        show_results(Plan(jobs, True, []), results, seconds_key="s", as_json=False)
    assert is_stopped.is_set(), raised.value


@pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")
def test_ctrl_c_stops_what_is_in_work_and_tells_what_is_done(tmp_path: Path) -> None:
    is_written, is_stopped = threading.Event(), threading.Event()

    def press(_: OnProgress) -> None:
        assert is_written.wait(SOON_S)
        try:
            os.kill(os.getpid(), signal.SIGINT)
            while True:
                time.sleep(0.001)
        finally:
            is_stopped.set()

    class Writing(Overlapping):
        def write(self, job: Job, loaded: str, converted: str) -> FileResult:
            result = super().write(job, loaded, converted)
            is_written.set()
            return result

    results = convert_files(jobs_of(tmp_path, "a", "b", "c"), Writing({"a": press, "c": goes_on}))
    with pytest.raises(KeyboardInterrupt):
        for result in results:
            assert told(iter([result])) == ["b"]
    assert is_stopped.is_set()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.out"]


def test_pictures_of_overlapping_batches_have_the_same_bytes(tmp_path: Path, small_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if needs_torch("auto"):
        pytest.skip("the extra fast is not installed, or there are no kernels")
    source = save_pictures(tmp_path / "in", 5, 70, 50)
    (source / "broken.png").write_bytes(b"no picture")
    overlapping, used = batches._convert_overlapping, []

    def noted(*args: object) -> Iterator[FileResult | Notice]:
        used.append(args)
        return overlapping(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(batches, "_convert_overlapping", noted)
    contents = []
    for size in (8, 1, 2):
        coded, back = tmp_path / f"coded{size}", tmp_path / f"back{size}"
        result = run("encode", source, "-o", coded, "-m", small_model, "--batch-size", size)
        assert result.exit_code == 1 and result.stderr.count("broken.png") == 1
        assert run("decode", coded, "-o", back, "--batch-size", size).exit_code == 0
        contents.append({path.name: path.read_bytes() for folder in (coded, back) for path in folder.iterdir()})
    assert len(contents[0]) == 10 and contents[0] == contents[1] == contents[2] and len(used) == 4
