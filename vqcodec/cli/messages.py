"""How messages and errors reach the user: every one is a single line on standard error, and a failed command exits with code 1."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

import click

from vqcodec.cli.progress import say
from vqcodec.errors import VqcodecError, is_lack_of_memory

INTERRUPTED_EXIT_CODE: Final = 128 + signal.SIGINT
"""Exit code of a command that Ctrl-C ended, as shells have it."""
TERMINATED_EXIT_CODE: Final = 128 + signal.SIGTERM
"""Exit code of a command that SIGTERM ended."""

_ONE_SIGNAL_S: Final = 1.0
"""Time in which further signals count as the one before, so that keys pressed twice leave it time to remove what is half written."""
_NO_MEMORY_FOR_LIBRARY: Final = "failed to map segment"
"""What the loader of shared libraries says where memory does not hold one."""


def one_line(text: str) -> str:
    """Returns text for a terminal: line breaks and other control characters, which file names may hold, are escaped as Python does it."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def tell(message: str) -> None:
    """Prints a message to standard error, on one line that begins with the program's name."""
    say(one_line(f"vqcodec: {message}"))


@contextmanager
def errors_name(source: Path | str) -> Iterator[None]:
    """Puts the name of a file before the message of any `VqcodecError` that is raised within the context."""
    try:
        yield
    except VqcodecError as error:
        raise type(error)(f"{source}: {error}") from error


class OneLineErrors(click.Group):
    """A group of commands whose errors are shown as one line on standard error and end the process with exit code 1.

    Ctrl-C and SIGTERM end a command by exceptions, so that a file that is being written is removed.
    """

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Parses the command line, and runs options that are commands by themselves."""
        with _one_line_errors():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command."""
        with _one_line_errors():
            return super().invoke(ctx)


@contextmanager
def _one_line_errors() -> Iterator[None]:
    signals = _Signals()
    try:
        with signals:
            yield
    except BrokenPipeError:
        raise  # click ends the process quietly
    except (VqcodecError, OSError, MemoryError) as error:
        if not signals.interrupted:
            tell(message_of(error) or "out of memory")
            sys.exit(1)
    except ImportError as error:
        if not signals.interrupted:
            if _NO_MEMORY_FOR_LIBRARY not in str(error):
                raise
            tell(f"out of memory: {error}")
            sys.exit(1)
    except BaseException as error:
        if not signals.interrupted:
            if not is_lack_of_memory(error):
                raise
            tell("out of memory")
            sys.exit(1)
    if signals.interrupted:
        tell("interrupted")
        sys.exit(INTERRUPTED_EXIT_CODE)


class _Signals:
    """Handles SIGINT and SIGTERM within a context, in the main thread.

    Attributes:
        interrupted: whether there was a SIGINT. Libraries that are being imported may turn its exception into another one.
    """

    def __init__(self) -> None:
        self.interrupted = False
        self._last: float | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _: FrameType | None) -> None:
        last, self._last = self._last, time.monotonic()
        if last is not None and self._last - last < _ONE_SIGNAL_S:
            return
        if number == signal.SIGTERM:
            sys.exit(TERMINATED_EXIT_CODE)
        self.interrupted = True
        raise KeyboardInterrupt


def message_of(error: Exception) -> str:
    """Returns what an error says, without the number that the operating system gives it."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    return f"{error.filename}: {error.strerror.lower()}" if error.filename else error.strerror.lower()
