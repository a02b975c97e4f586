"""Work in a thread of its own, whose results are taken up in the main thread, and which can be stopped as Ctrl-C stops the main thread."""

import ctypes
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Generic, TypeVar

from vqcodec.cli.progress import share_done
from vqcodec.nn.progress import OnProgress

Result = TypeVar("Result")

_REDRAW_S: Final = 0.1
"""Seconds between two looks at how far work has come, while it is waited for."""


class Work(Generic[Result]):
    """Work for a thread of its own.

    Args:
        work: function that does it, and yields results as they come; it tells an `OnProgress` how many units of work, or which share of
            one, are done.
        on_end: function that is told once the work has ended.

    Attributes:
        done: units of work that are done by now.
        results: the results that are there by now.
        error: the error that ended the work, or None.
        is_over: whether it is done, or ended by an error, or stopped.
        is_stopped: whether it was stopped.
    """

    def __init__(self, work: Callable[[OnProgress], Iterable[Result]], on_end: Callable[[], None] = lambda: None) -> None:
        self.done = 0.0
        self.results: list[Result] = []
        self.error: Exception | None = None
        self.is_over = self.is_stopped = False
        self._work, self._on_end = work, on_end
        self._has_news = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Begins it."""
        try:
            self._thread.start()
        except RuntimeError as error:  # the system gives no more threads
            self.error, self.is_over = error, True

    @property
    def has_ended(self) -> bool:
        """Whether its thread does nothing more. Where a stop reached the thread outside of the work, `is_over` may never be set."""
        return self.is_over or not self._thread.is_alive()

    def _run(self) -> None:
        try:
            if self.is_stopped:  # before the thread had an identity by which it could be told
                return
            for result in self._work(self._tell):
                self.results.append(result)
        except SystemExit:
            pass  # it was stopped
        except Exception as error:  # noqa: BLE001 (it is raised where the results are taken)
            self.error = error
        finally:
            self.is_over = True
        self._has_news.set()
        self._on_end()

    def _tell(self, done: float) -> None:
        self.done = done

    def stop(self) -> None:
        """Ends it at the next step of Python, as Ctrl-C ends the main thread: files that are half written are removed."""
        self.is_stopped = True
        if self._thread.ident is None:
            self.is_over = True
        elif not self.has_ended:  # whose identity a new thread may have
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread.ident), ctypes.py_object(SystemExit))

    def wait(self) -> None:
        """Waits a moment, or until it is over. Python 3.11 would take a thread for ended if a signal came while it was joined."""
        if not self.is_over:
            self._has_news.wait(_REDRAW_S)


def wait_for(work: Work[Result], *others: Work[Result]) -> None:
    """Waits until some work is over, and shows meanwhile how far it and others are."""
    while not work.is_over:
        work.wait()
        share_done(sum(one.done for one in (work, *others)))


def wait_until(is_due: Callable[[], bool], works: Sequence[Work[Result]], has_news: threading.Event) -> None:
    """Waits for what an end of works brings about, whose `on_end` sets `has_news`, and shows meanwhile how far they are."""
    while not is_due():
        has_news.wait(_REDRAW_S)
        has_news.clear()
        share_done(sum(one.done for one in works))


def stop_all(works: Iterable[Work[Result]]) -> None:
    """Ends work that nobody waits for any more, and waits until it has ended."""
    works = list(works)
    for work in works:
        work.stop()
    for work in works:
        while not work.has_ended:
            work.wait()
