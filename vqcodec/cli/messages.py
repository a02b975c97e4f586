"""How messages and errors reach the user: every one is a single line on standard error, and a failed command exits with code 1."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from vqcodec.errors import VqcodecError


def one_line(text: str) -> str:
    """Returns text for a terminal: line breaks and other control characters, which file names may hold, are escaped as Python does it."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def tell(message: str) -> None:
    """Prints a message to standard error, on one line that begins with the program's name."""
    click.echo(one_line(f"vqcodec: {message}"), err=True)


@contextmanager
def errors_name(source: Path | str) -> Iterator[None]:
    """Puts the name of a file before the message of any `VqcodecError` that is raised within the context."""
    try:
        yield
    except VqcodecError as error:
        raise type(error)(f"{source}: {error}") from error


class OneLineErrors(click.Group):
    """A group of commands whose errors are shown as one line on standard error and end the process with exit code 1."""

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
    try:
        yield
    except BrokenPipeError:
        raise  # click ends the process quietly
    except (VqcodecError, OSError, MemoryError) as error:
        tell(_message(error) or "out of memory")
        sys.exit(1)


def _message(error: Exception) -> str:
    """Returns what an error says, without the number that the operating system gives it."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    return f"{error.filename}: {error.strerror.lower()}" if error.filename else error.strerror.lower()
