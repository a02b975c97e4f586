"""The command `vqcodec pack`."""

import json
from pathlib import Path

import click
from click.core import ParameterSource

from vqcodec.cli.files import STANDARD_STREAM, OutputError, check_folder, output_path
from vqcodec.cli.folders import find_files
from vqcodec.cli.memory import check_memory
from vqcodec.cli.messages import tell
from vqcodec.cli.options import ByteCount, OutputName, examples, force_option, inputs_argument, json_option, quiet_option
from vqcodec.cli.progress import progress, say
from vqcodec.datasets.shard_names import ShardNames
from vqcodec.errors import VqcodecError
from vqcodec.format.container import SUFFIX, CoderKind
from vqcodec.models.devices import needs_torch


@click.command(epilog=examples("pack codes/ -o shards/data-{000000..}.tar", "pack codes/ --coder keep -o archive.tar"))
@inputs_argument
@click.option(
    "-o",
    "--output",
    required=True,
    type=OutputName(),
    help="Shard to write, which ends in .tar or .parquet; with a number in braces, as in data-{000000..}.tar, as many as there have to be.",
)
@click.option(
    "--shard-size", type=ByteCount(), default="256M", show_default=True, help="Most bytes of a numbered shard; also as 100k or 1.5G."
)
@click.option(
    "--coder",
    type=click.Choice(["keep", *(kind.name.lower() for kind in CoderKind)]),
    help="How the maps are coded: with static, the default in .tar, files are about twice as large (1.7 times for small pieces full of "
    "detail) and are read many times as fast; with keep, the default in .parquet, they stay as they are.",
)
@click.option("--skip-broken", is_flag=True, help="Leave broken files out, and do not stop at the first.")
@force_option
@quiet_option
@json_option
def pack(
    inputs: tuple[Path, ...], output: str, shard_size: int, coder: str | None, skip_broken: bool, force: bool, is_quiet: bool, as_json: bool
) -> None:
    """Pack .vq files into shards for training.

    An INPUT is a folder, of which all .vq files are packed, those in folders below it too, or a .vq file. Either all shards are written, or
    none.
    """
    if output_path(output) == STANDARD_STREAM:
        raise OutputError("shards are not written to standard output; name a file with -o")
    if STANDARD_STREAM in inputs:
        raise VqcodecError("standard input is not packed; name .vq files and folders")
    is_size_given = click.get_current_context().get_parameter_source("shard_size") is not ParameterSource.DEFAULT
    if is_size_given and not ShardNames.parse(Path(output)).first:
        raise click.UsageError("--shard-size is for several shards, whose name has a number in braces, as in data-{000000..}.tar")
    check_folder(Path(output).parent)
    found = find_files(inputs, {SUFFIX}, recursive=True)
    if coder is None:
        coder = "keep" if Path(output).suffix.lower() == ".parquet" else "static"
    check_memory(needs_torch=coder != "keep" and needs_torch("auto"))
    from vqcodec.datasets.packing import FileToPack, pack

    for note in () if is_quiet else found.notes():
        tell(note)
    files = [FileToPack(file.path, file.below.as_posix()) for file in found.files]
    broken = 0
    with progress(len(files), "files", is_shown=not is_quiet) as bar:

        def leave_out(error: Exception) -> None:
            nonlocal broken
            broken += 1
            tell(f"left out: {error}")

        try:
            shards = pack(
                files,
                Path(output),
                shard_bytes=shard_size,
                coder=None if coder == "keep" else CoderKind[coder.upper()],
                replace=force,
                on_broken=leave_out if skip_broken else None,
                on_progress=bar.move_to,
            )
        except OSError as error:
            raise OutputError(f"{output}: cannot be written: {(error.strerror or str(error)).lower()}") from error
    for shard in shards:
        if as_json:
            say(json.dumps({"output": str(shard.path), "files": shard.files, "num_bytes": shard.num_bytes}), err=False)
    if not is_quiet:
        packed, size = sum(shard.files for shard in shards), sum(shard.num_bytes for shard in shards)
        left = f", {broken:,} left out" if broken else ""
        say(f"{packed:,} of {len(files):,} files packed{left}; shards: {len(shards):,}, {size:,} bytes")
