"""Parameter types that several commands share, and how errors of all of them are shown."""

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from vqcodec.errors import VqcodecError


def one_line(text: str) -> str:
    """Text for a terminal: line breaks and other control characters, which names of files may hold, are written as Python writes them."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


class OutputName(click.ParamType[str]):
    """A file or folder to write, or `-`; a separator at the end is kept, since it says that a folder is meant."""

    name = "path"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuses an empty name, which would otherwise stand for the current folder."""
        if not value:
            self.fail("the name is empty", param, ctx)
        return value


class InputPath(click.ParamType[Path]):
    """A file or folder to read, or `-`. Whether it can be read is found out, and reported, file by file."""

    name = "path"

    def convert(self, value: str | Path, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Refuses an empty name, which would otherwise stand for the current folder."""
        if not str(value):
            self.fail("the name is empty", param, ctx)
        return Path(value)


class FiniteFloat(click.FloatRange):
    """A range that neither nan nor an infinity is in."""

    def convert(self, value: float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Refuses what is not a finite number in the range."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number", param, ctx)
        return number


def _told(error: Exception) -> str:
    """What an error says, without the number that the operating system gives it."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    return f"{error.filename}: {error.strerror.lower()}" if error.filename else error.strerror.lower()


@contextmanager
def _one_line_errors() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise  # click ends the process quietly
    except (VqcodecError, OSError, MemoryError) as error:
        click.echo(f"vqcodec: {one_line(_told(error)) or 'out of memory'}", err=True)
        sys.exit(1)


class OneLineErrors(click.Group):
    """A group of commands whose errors are one line on stderr and exit code 1."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Reads the command line, and runs options that are commands by themselves."""
        with _one_line_errors():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command."""
        with _one_line_errors():
            return super().invoke(ctx)
