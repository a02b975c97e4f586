"""Parameter types that several commands share."""

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
