"""Checks what is shown of the progress of long work, on terminals and elsewhere."""

import io
import re

import pytest

from vqcodec.cli import progress as module
from vqcodec.cli.progress import duration, progress, say, share_done


class Terminal(io.StringIO):
    """A text stream that says whether it is a terminal."""

    def __init__(self, is_terminal: bool) -> None:
        super().__init__()
        self.is_terminal = is_terminal

    def isatty(self) -> bool:
        return self.is_terminal

    def screen(self) -> list[str]:
        """Returns the lines as a terminal shows them."""
        return [re.split(r"\r\x1b\[K", line)[-1] for line in self.getvalue().split("\n")]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Returns a list whose only value is the time."""
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_a_bar_shares_no_line_with_what_is_said(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    monkeypatch.setattr("sys.stderr", terminal := Terminal(True))
    with progress(4, "files") as bar:
        bar.update()
        assert terminal.getvalue() == ""
        clock[0] = 2.0
        bar.update()
        assert "2 of 4 files  4 s left" in terminal.screen()[0]
        say("a.png -> a.vq")
        assert terminal.screen()[0] == "a.png -> a.vq" and "2 of 4 files" in terminal.screen()[1]
        with progress(9, "strips") as inner:
            clock[0] = 4.0
            inner.update(3)
        clock[0] = 5.0
        bar.move_to(3, "of a run")
        assert terminal.screen()[1].endswith("3 of 4 files  of a run")
    assert terminal.screen() == ["a.png -> a.vq", ""] and "strips" not in terminal.getvalue()


def test_elsewhere_a_line_is_printed_now_and_then(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    monkeypatch.setattr("sys.stderr", stream := Terminal(False))
    with progress(100, "files") as bar:
        for second in range(100):
            clock[0] = float(second)
            bar.update()
    assert stream.getvalue().splitlines() == ["31 of 100 files  69 s left", "61 of 100 files  39 s left", "91 of 100 files  9 s left"]


def test_time_that_is_left_is_told_by_work_after_the_first(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    monkeypatch.setattr("sys.stderr", terminal := Terminal(True))
    with progress(100, "files") as bar:
        bar.update(50)  # what an earlier run has done
        clock[0] = 20.0  # while libraries are loaded
        bar.update(0)
        assert terminal.screen()[0].endswith("50 of 100 files")
    with progress(100, "files") as bar:
        clock[0] = 40.0
        bar.update(10)
        assert terminal.screen()[0].endswith("10 of 100 files")
        clock[0] = 41.0
        bar.update(10)
        assert terminal.screen()[0].endswith("20 of 100 files  8 s left")


def test_quiet_work_shows_nothing(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    monkeypatch.setattr("sys.stderr", terminal := Terminal(True))
    with progress(2, "files", is_shown=False) as bar:
        clock[0] = 9.0
        bar.update()
    assert terminal.getvalue() == ""


def test_durations() -> None:
    assert [duration(seconds) for seconds in (0.4, 99, 100, 5900, 7200)] == ["0 s", "99 s", "2 min", "98 min", "2.0 h"]


def test_the_share_of_a_unit_that_is_in_work_is_shown(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    monkeypatch.setattr("sys.stderr", terminal := Terminal(True))
    share_done(0.3)
    with progress(4, "files") as bar:
        bar.update()
        clock[0] = 2.0
        share_done(0.6)
        assert terminal.screen()[0].startswith("[#########-") and terminal.screen()[0].endswith("1 of 4 files  8 s left")
    clock[0] = 0.0
    with progress(1, "files") as bar:
        clock[0] = 5.0
        share_done(0.25)
        assert terminal.screen()[0].endswith("25%")
        clock[0] = 7.0
        share_done(0.5)
        assert terminal.screen()[0].endswith("50%  4 s left")
        bar.update()
        assert "100%" not in terminal.screen()[0], "The last unit is told by its result."
