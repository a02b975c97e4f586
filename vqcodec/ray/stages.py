"""Stages for data sets of Ray."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import pyarrow as pa
from pyarrow import compute

from vqcodec.checks import checked_at_least, checked_number
from vqcodec.encoding.options import EncodeOptions, coder_kind
from vqcodec.images.picture import ReadOptions
from vqcodec.images.writing import check_can_hold
from vqcodec.models.model import checked_realism
from vqcodec.models.registry import DEFAULT_MODEL, find_model
from vqcodec.rate.control import RateControl
from vqcodec.rate.options import LayerOptions
from vqcodec.ray.actors import CODES, ERROR, Decoder, Encoder, Settings
from vqcodec.ray.files import FileWriter, Pending, packed_names

if TYPE_CHECKING:
    from ray.data import Dataset

_READING = tuple(ReadOptions.__annotations__)
_RATE = ("quality", "num_maps", "rate_weight", "max_bytes", "target_bpp", "tune")


def encode(
    dataset: "Dataset",
    *,
    column: str = "bytes",
    model: str | Path = DEFAULT_MODEL,
    batch_size: int = 16,
    num_cpus: float = 1,
    num_gpus: float = 0,
    actors: int | None = None,
    **options: Unpack[EncodeOptions],
) -> "Dataset":
    """Encodes the pictures of a data set by actors, each of which loads the model once.

    Args:
        dataset: rows with a picture each, such as those of `ray.data.read_binary_files(..., include_paths=True)` or `read_images`.
        column: column of the pictures: picture files as bytes, or uint8 arrays [H, W, 3]. The result lacks it.
        model: id of a model that is installed on all machines, or a model folder that all of them see.
        batch_size: pictures that go through the networks together, if their padded sizes are equal.
        num_cpus: CPUs of an actor, which are also torch's threads.
        num_gpus: GPUs of an actor, perhaps a part of one; 0 for the CPU.
        actors: most actors; None for as many as the machines hold. There is one at first, and more as rows wait.
        options: those of `Codec.encode`.

    Returns:
        The other columns; `vq`, the bytes of the file; `width` and `height` in pixels; and `error`, null where all is well. A picture that
        cannot be encoded is a row whose `vq` is null.

    Raises:
        ModelError: There is no such model.
        TypeError, ValueError: An argument is not as described.
    """
    if unknown := set(options) - {"coder", "verify", "exact", "layers", *_READING, *_RATE}:
        raise TypeError(f"unknown options {', '.join(sorted(unknown))}")
    given: dict[str, Any] = dict(options)
    settings = Settings(
        rate=RateControl(**{name: given[name] for name in _RATE if name in given}),
        coder=coder_kind(given.get("coder")),
        layers=LayerOptions(given.get("exact", "auto"), layers=given.get("layers", True)),
        verify=given.get("verify", False),
        reading=ReadOptions(**{name: given[name] for name in _READING if name in given}),  # type: ignore[typeddict-item]
    )
    settings.layers.check_rate(settings.rate)
    config = find_model(model)
    kwargs = {"column": column, "config": replace(config, folder=config.folder.absolute()), "settings": settings}
    return _by_actors(dataset, Encoder, kwargs, batch_size, num_cpus, num_gpus, actors)


def decode(
    dataset: "Dataset",
    *,
    column: str = "vq",
    to: str = "png",
    realism: float = 0.0,
    max_maps: int | None = None,
    batch_size: int = 16,
    num_cpus: float = 1,
    num_gpus: float = 0,
    actors: int | None = None,
) -> "Dataset":
    """Decodes the .vq files of a data set by actors.

    Args:
        dataset: rows with the bytes of a .vq file each.
        column: column of these bytes. The result lacks it.
        to: format of picture files, such as "png" or "jpg", in a column `image`; or "codes" for the code maps, in a column `codes`: a list
            of maps, each the list of its codes row by row.
        realism: how pictures are painted: 0 closest to the original, 1 most like a photo.
        max_maps: number of first maps; None for all.
        batch_size: files that go through the networks together, if their padded sizes are equal.
        num_cpus: CPUs of an actor, which are also torch's threads.
        num_gpus: GPUs of an actor; 0 for the CPU.
        actors: most actors, as of `encode`.

    Returns:
        The other columns, `image` or `codes`, `width` and `height` in pixels, and `error`, null where all is well. A row whose file is null
        keeps its error.

    Raises:
        ImageError: No picture can be written in this format.
        TypeError, ValueError: An argument is not as described.
    """
    suffix = None if to == CODES else f".{to.removeprefix('.')}"
    if suffix is not None:
        check_can_hold(suffix, 1, 1, has_colours=True, has_alpha=False)
    realism = checked_realism(realism)
    if max_maps is not None:
        max_maps = checked_at_least("max_maps", max_maps, 1)
    kwargs = {"column": column, "suffix": suffix, "realism": realism, "max_maps": max_maps}
    return _by_actors(dataset, Decoder, kwargs, batch_size, num_cpus, num_gpus, actors)


def _by_actors(
    dataset: "Dataset",
    actor: Callable[..., Any],
    kwargs: dict[str, Any],
    batch_size: int,
    num_cpus: float,
    num_gpus: float,
    actors: int | None,
) -> "Dataset":
    from ray.data import ActorPoolStrategy

    batch_size = checked_at_least("batch_size", batch_size, 1)
    num_cpus, num_gpus = checked_number("num_cpus", num_cpus), checked_number("num_gpus", num_gpus)
    for name, value in (("num_cpus", num_cpus), ("num_gpus", num_gpus)):
        if value < 0:
            raise ValueError(f"{name} must be at least 0, not {value}")
    if actors is not None:
        actors = checked_at_least("actors", actors, 1)
    device = "cuda" if num_gpus else "cpu"
    return dataset.map_batches(
        actor,
        batch_size=batch_size,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(min_size=1, max_size=actors),
        num_cpus=num_cpus,
        num_gpus=num_gpus or None,
        fn_constructor_kwargs={**kwargs, "threads": max(1, int(num_cpus)), "device": device},
    )


def pending(dataset: "Dataset", output: str | Path, *, name: str = "path", root: str = "") -> "Dataset":
    """Drops the rows of pictures that an earlier run has finished, so that a run which was stopped can be completed.

    Args:
        dataset: rows with the name of a picture each.
        output: folder that `write_files` writes to, or with tar shards or Parquet files that hold names and .vq files. What counts as
            finished is whole: its checksums hold.
        name: column of the names.
        root: as of `write_files`.

    Raises:
        VqcodecError: A shard in the folder is not whole, as a kill may leave it.
        ValueError: The output is in an object store.
    """
    folder = _folder(output)
    stage = Pending(str(folder), name, root, packed_names(folder, name))
    return dataset.map_batches(stage.__call__, batch_size=None, batch_format="pyarrow")


def write_files(dataset: "Dataset", folder: str | Path, *, name: str = "path", root: str = "") -> "Dataset":
    """Writes the .vq files of rows into a folder that all machines see; each is written whole or not at all.

    Args:
        dataset: what `encode` returns, with a column of names.
        folder: folder to write to; files that are there are replaced.
        name: column of the names of pictures.
        root: beginning of the names that is left out: `photos/cat/1.jpg` below `photos` becomes `cat/1.jpg.vq`.

    Returns:
        The rows without `vq`, and with `target`, the file, and `num_bytes`, its length; both are null where there is an `error`.

    Raises:
        ValueError: The folder is in an object store.
    """
    writer = FileWriter(str(_folder(folder)), name, root)
    return dataset.map_batches(writer.__call__, batch_size=None, batch_format="pyarrow")


def _folder(output: str | Path) -> Path:
    """Returns the absolute path of a folder.

    Raises:
        ValueError: It is the address of an object store.
    """
    if "://" in str(output):
        raise ValueError(f"{output}: .vq files need a folder that all machines see, not an object store, which takes tar or Parquet")
    return Path(output).absolute()


def shard_rows(dataset: "Dataset", *, name: str = "path") -> "Dataset":
    """Returns the rows of intact files as `Dataset.write_webdataset` takes them: key, `vq` and `json` with path, width and height.

    Args:
        dataset: what `encode` returns, with a column of names.
        name: column of the names of pictures. Keys are digests of the names, which no two pictures share, or of
            the file where the name is null.
    """
    kind = pa.struct([("path", pa.string()), ("width", pa.int32()), ("height", pa.int32())])

    def rows(table: pa.Table) -> pa.Table:
        table = table.filter(compute.is_null(table.column(ERROR)))
        names = [None if own is None else str(own) for own in table.column(name).to_pylist()]
        files = table.column("vq").to_pylist()
        sizes = zip(names, table.column("width").to_pylist(), table.column("height").to_pylist(), strict=True)
        about = [{"path": own, "width": width, "height": height} for own, width, height in sizes]  # which Ray writes as JSON
        named = [file if own is None else own.encode("utf-8", "surrogateescape") for own, file in zip(names, files, strict=True)]
        keys = [hashlib.sha256(one).hexdigest()[:32] for one in named]
        return pa.table({"__key__": keys, "json": pa.array(about, kind), "vq": table.column("vq")})

    return dataset.map_batches(rows, batch_size=None, batch_format="pyarrow")
