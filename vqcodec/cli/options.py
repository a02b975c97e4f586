"""Parameter types and options that several commands share."""

import math
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Final

import click
from click.shell_completion import CompletionItem

from vqcodec.cli.files import check_standard_output
from vqcodec.models.registry import DEFAULT_MODEL, list_models

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_MOST_CHARACTERS: Final = 50
"""Most characters of a number of bytes; Python refuses to read numbers of thousands of digits."""


class OutputName(click.ParamType[str]):
    """The name of a file or folder to write, or `-`. A separator at the end is kept, since it says that a folder is meant."""

    name = "path"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuses an empty name, which would otherwise stand for the current folder."""
        if not value:
            self.fail("the name is empty", param, ctx)
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002 (of click)
        """Lets the shell complete the name of a file."""
        return [CompletionItem(incomplete, type="file")]


class InputPath(click.ParamType[Path]):
    """The path of a file or folder to read, or `-`. Whether it can be read is found out, and reported, file by file."""

    name = "path"

    def convert(self, value: str | Path, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Refuses an empty name, which would otherwise stand for the current folder."""
        if not str(value):
            self.fail("the name is empty", param, ctx)
        return Path(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002 (of click)
        """Lets the shell complete the name of a file."""
        return [CompletionItem(incomplete, type="file")]


class WholeNumber(click.IntRange):
    """A range of whole numbers."""

    name = "integer"


class FiniteFloat(click.FloatRange):
    """A range of numbers that contains neither nan nor an infinity."""

    name = "number"

    def convert(self, value: float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Refuses anything but a finite number in the range."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number", param, ctx)
        return number


class ByteCount(click.ParamType[int]):
    """A number of bytes of at least 1, perhaps in thousands (k), millions (M) or billions (G) of bytes, as in 20k or 1.5M."""

    name = "bytes"

    def convert(self, value: int | str, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Returns the bytes, rounded down."""
        text = str(value)
        if len(text) > _MOST_CHARACTERS:
            self.fail(f"a number of {len(text)} characters, expected at most {_MOST_CHARACTERS}", param, ctx)
        found = re.fullmatch(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([kKMG]?)[bB]?", text)
        number = 0 if found is None else int(Fraction(found[1]) * _UNITS[found[2].lower()])
        if number < 1:
            self.fail(f"{value!r} is no number of bytes of at least 1, such as 20000, 20k or 1.5M", param, ctx)
        return number


def examples(*arguments: str) -> str:
    """Returns the end of a command's help: command lines of `vqcodec` with these arguments."""
    return "\b\nExamples:\n" + "\n".join(f"  vqcodec {line}".rstrip() for line in arguments)


def _complete_models(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Returns the ids of models that begin so for a shell, or else lets it complete the name of a folder."""
    ids = [config.id for config in list_models(lambda _: None) if config.id.startswith(incomplete)]
    return [CompletionItem(model_id) for model_id in ids] or [CompletionItem(incomplete, type="dir")]


def _check_output_of_json(_: click.Context, __: click.Parameter, is_asked: bool) -> bool:
    if is_asked:
        check_standard_output()
    return is_asked


inputs_argument = click.argument("inputs", metavar="INPUT...", nargs=-1, required=True, type=InputPath())
output_option = click.option(
    "-o", "--output", type=OutputName(), help="File, folder (an existing one, or with a / at its end), or - for standard output."
)
model_option = click.option(
    "-m",
    "--model",
    default=DEFAULT_MODEL,
    show_default=True,
    shell_complete=_complete_models,
    help="Id of an installed model, or path of a model folder.",
)
device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where the networks run; auto takes CUDA where there is a device.",
)
batch_size_option = click.option(
    "--batch-size", type=WholeNumber(1, 1024), default=8, show_default=True, help="Files that go through the networks together."
)
force_option = click.option("-f", "--force", is_flag=True, help="Overwrite existing outputs.")
max_pixels_option = click.option(
    "--max-pixels",
    type=WholeNumber(min=1),
    help="Refuse what has more pixels, before they are decoded. Without it, more than 89478485 are told, and a .vq file of so many is "
    "refused if it is too small for a photo.",
)
tone_map_option = click.option("--tone-map", is_flag=True, help="Bring HDR pictures to sRGB, and do not refuse them.")
first_frame_option = click.option(
    "--first-frame", is_flag=True, help="Take the first picture of an animation or of a file of several, and do not refuse it."
)
realism_option = click.option(
    "--realism",
    type=FiniteFloat(0, 1),
    default=0.0,
    show_default=True,
    help="How .vq files are painted: 0 closest to the original, 1 most like a photo, with invented detail.",
)
json_option = click.option("--json", "as_json", is_flag=True, callback=_check_output_of_json, help="Print one JSON object a line.")
recursive_option = click.option(
    "-r", "--recursive", is_flag=True, help="Take what is in folders below a folder, too; the output folder mirrors them."
)
skip_existing_option = click.option(
    "--skip-existing", is_flag=True, help="Keep outputs that are there already and whole, and convert the other inputs."
)
jobs_option = click.option(
    "--jobs", "processes", type=WholeNumber(1, 256), default=1, show_default=True, help="Processes that convert files at a time."
)
quiet_option = click.option("--quiet", "is_quiet", is_flag=True, help="Show errors alone, and with --json the JSON.")


def folder_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options of commands that convert many files: recursive, skip_existing, processes and is_quiet."""
    for option in (quiet_option, jobs_option, skip_existing_option, recursive_option):
        command = option(command)
    return command
