"""How far long work has come: a bar on a terminal, a line now and then elsewhere. No other line shares the bar's line.

Everything that a command prints while a bar may be there is printed by `say`, which the bar makes room for.
"""

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import click

_FIRST_BAR_S: Final = 0.5
"""Seconds after which a bar is first drawn: work that is done sooner has none."""
_REDRAW_S: Final = 0.1
_LINE_S: Final = 30.0
"""Seconds between lines where standard error is no terminal."""
_BAR_COLUMNS: Final = 24
_CLEAR_LINE: Final = "\r\x1b[K"


class Progress:
    """The progress of one piece of work on standard error.

    Args:
        length: units of work in all, at least 0.
        unit: what is counted, in the plural, such as "files".
        is_shown: whether anything is printed.
    """

    def __init__(self, length: int, unit: str, *, is_shown: bool = True) -> None:
        self.length = length
        self.unit = unit
        self.position = 0
        self._share = 0.0
        self._detail = ""
        self._is_shown = is_shown and sys.stderr is not None
        self._is_terminal = self._is_shown and sys.stderr.isatty()
        self._started = time.monotonic()
        self._first: tuple[float, float] | None = None
        self._is_drawn = False
        self._next_s = _FIRST_BAR_S if self._is_terminal else _LINE_S

    def update(self, count: int = 1, detail: str = "") -> None:
        """Counts finished units, and shows where the work stands if that was not shown just before.

        Args:
            count: units that were finished since the last call.
            detail: what else to show, such as figures of a training run; it takes the place of the time that is left.
        """
        self.move_to(self.position + count, detail)

    def move_to(self, position: int, detail: str = "") -> None:
        """Says that so many units are finished in all; else like `update`."""
        self.position, self._share, self._detail = position, 0.0, detail
        self._note_first()
        if self.length > 1 or position < self.length:
            self._show()

    def move_within(self, share: float) -> None:
        """Says how many units, or which share of one, are done beyond those that are finished."""
        self._share = share
        self._note_first()
        self._show()

    def _note_first(self) -> None:
        """Notes what was done, and when, at first: work before that, such as the loading of networks, says nothing of the rest."""
        if self._first is None and self.position + self._share > 0:
            self._first = self.position + self._share, time.monotonic()

    def _show(self) -> None:
        elapsed = time.monotonic() - self._started
        if not self._is_shown or elapsed < self._next_s:
            return
        if self._is_terminal:
            self.draw()
            self._next_s = elapsed + _REDRAW_S
        else:
            click.echo(self._line(), err=True)
            self._next_s = elapsed + _LINE_S

    def draw(self) -> None:
        """Draws the bar over itself."""
        filled = int(_BAR_COLUMNS * min(self.position + self._share, self.length) / max(1, self.length))
        columns = shutil.get_terminal_size().columns - 1
        bar = f"[{'#' * filled}{'-' * (_BAR_COLUMNS - filled)}]  {self._line()}"[:columns]
        click.echo(f"{_CLEAR_LINE}{bar}", err=True, nl=False, color=True)
        self._is_drawn = True

    def clear(self) -> bool:
        """Removes the bar from the terminal, and returns whether there was one."""
        was_drawn, self._is_drawn = self._is_drawn, False
        if was_drawn:
            click.echo(_CLEAR_LINE, err=True, nl=False, color=True)
        return was_drawn

    def _line(self) -> str:
        detail = self._detail
        done = self.position + self._share
        if not detail and self._first is not None and self._first[0] < done < self.length:
            already, since = self._first
            seconds = (time.monotonic() - since) / (done - already) * (self.length - done)
            detail = f"{duration(seconds)} left"
        if self.length == 1:
            return f"{100 * done:.0f}%  {detail}".rstrip()
        return f"{self.position} of {self.length} {self.unit}  {detail}".rstrip()


_shown: Final[list[Progress]] = []
"""The progress that is shown, if any."""


@contextmanager
def progress(length: int, unit: str, *, is_shown: bool = True) -> Iterator[Progress]:
    """Shows the progress of the work within the context; of nested work the outermost alone.

    Args:
        length: units of work in all.
        unit: what is counted, in the plural.
        is_shown: whether anything is printed.
    """
    bar = Progress(length, unit, is_shown=is_shown and not _shown)
    if _shown:
        yield bar
        return
    _shown.append(bar)
    try:
        yield bar
    finally:
        _shown.pop().clear()


def share_done(share: float) -> None:
    """Says to what is shown how many units, or which share of one, are done beyond those that are finished."""
    for bar in _shown:
        bar.move_within(share)


def say(text: str, *, err: bool = True) -> None:
    """Prints a line, to standard error by default. A bar makes room for it and comes back below."""
    cleared = [bar for bar in _shown if bar.clear()]
    click.echo(text, err=err)
    for bar in cleared:
        bar.draw()


def duration(seconds: float) -> str:
    """Returns a time for people, such as "35 s", "12 min" or "3.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
