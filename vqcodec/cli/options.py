"""Parameter types that several commands share."""

import math
from pathlib import Path

import click


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
