"""What data sets of code maps have in common, and the samples that they give."""

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypedDict, get_args

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vqcodec.checks import checked_at_least
from vqcodec.datasets.ranks import Rank, SharedState, this_rank
from vqcodec.datasets.reading import CENTRE, CodeReader, Codes, Place
from vqcodec.datasets.tar import Sample
from vqcodec.errors import VqcodecError

Broken = Literal["raise", "skip"]
"""What becomes of broken files."""

_LOG: Final = logging.getLogger("vqcodec.datasets")


class CodeSample(TypedDict, total=False):
    """A picture as its codes.

    Attributes:
        maps: uint16 [h, w] each, top first.
        label: number of its class, -1 where it is unknown.
        name: name of its file.
        width, height: size of the picture in pixels, all of it where the maps are those of a tile.
        pixels: uint8 [3, H, W], the picture as it is painted from the maps, with the file's layers; only where it was asked for.
    """

    maps: list[Tensor]
    label: int
    name: str
    width: int
    height: int
    pixels: Tensor


class CodeMaps(Dataset[CodeSample]):
    """The code maps of .vq files as a data set of PyTorch: of a folder, or of tar shards.

    `CodeMaps(folder)` is a `FolderCodeMaps`, which has a length and is read in any order. `CodeMaps(shard)` and `CodeMaps([shard, ...])`
    are `ShardCodeMaps`, which are read one after the other. Samples are `CodeSample`s, of which `torch.utils.data.default_collate` makes
    batches where maps have equal sizes. Only entropy coding is undone: no network is loaded but the priors of the maps that are wanted.

    Args:
        source: a folder, in which all .vq files count, those in folders below it too; a tar shard; a list of tar shards; or the name of
            numbered ones, as `vqcodec pack` takes it: "data-{000000..}.tar".
        maps: number of first maps; None for all that a file holds. A file that holds fewer is broken.
        pixels: whether the maps are painted, too.
        tile_px: side in pixels, a multiple of 8, of the tile that is read of each picture: its middle, or with `shuffle` a place that seed,
            epoch and name decide. None for whole pictures. A picture that is smaller is broken.
        shuffle: whether the order changes from epoch to epoch: of shards, and of the samples in a buffer. Files of a folder are shuffled by
            `FolderCodeMaps.sampler`.
        seed: seed of order and tiles.
        broken: "raise" for an error that names the first broken file, or folder that cannot be read; "skip" to leave such out, log each,
            and count them in `left_out`.
        batch_size: files of shards that are decoded together, which is faster; a `DataLoader` gives those of a folder by its own batches.
        buffer: samples that shards are shuffled in, as compressed files.
        rank: which process this is, from 0; by default what torch.distributed or the variable RANK says.
        world_size: how many processes there are; by default what torch.distributed or the variable WORLD_SIZE says.

    Raises:
        VqcodecError: There is no .vq file, or no shard.
        TypeError, ValueError: An argument is not as described.
    """

    def __new__(cls, source: Any = None, **_: Any) -> "CodeMaps":
        """Chooses the kind of data set by its source."""
        if cls is not CodeMaps:
            return super().__new__(cls)
        from vqcodec.datasets.folder import FolderCodeMaps
        from vqcodec.datasets.shards import ShardCodeMaps

        is_folder = isinstance(source, str | os.PathLike) and Path(source).is_dir()
        return super().__new__(FolderCodeMaps if is_folder else ShardCodeMaps)

    def __init__(
        self,
        source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        maps: int | None = None,
        pixels: bool = False,
        tile_px: int | None = None,
        shuffle: bool = False,
        seed: int = 0,
        broken: Broken = "raise",
        batch_size: int = 16,
        buffer: int = 1000,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        self.reader = CodeReader(maps, tile_px, pixels)
        self.seed = checked_at_least("seed", seed, 0)
        self.batch_size = checked_at_least("batch_size", batch_size, 1)
        self.buffer = checked_at_least("buffer", buffer, 1)
        if broken not in get_args(Broken):
            raise ValueError(f"broken must be 'raise' or 'skip', not {broken!r}")
        self.shuffle, self.broken = shuffle, broken
        self._given = rank, world_size
        self._rank = this_rank(rank, world_size)
        self._state = SharedState()
        self._find(source)

    def _find(self, source: Any) -> None:
        """Finds what the data set is made of.

        Raises:
            VqcodecError: There is nothing.
        """
        raise NotImplementedError

    @property
    def rank(self) -> Rank:
        """Which process of how many this is."""
        is_known = torch.distributed.is_available() and torch.distributed.is_initialized()
        return this_rank(*self._given) if is_known else self._rank

    @property
    def epoch(self) -> int:
        """The epoch, which `set_epoch` sets."""
        return self._state.epoch

    @property
    def left_out(self) -> int:
        """The number of broken files that this process and its workers have left out so far."""
        return self._state.left_out

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch, by which order and tiles change; it reaches workers that wait for their next epoch.

        Raises:
            TypeError, ValueError: It is no whole number, or below 0.
        """
        self._state.epoch = epoch

    def random(self, *of_what: int) -> np.random.Generator:
        """Returns a generator for this epoch and for what is to be drawn."""
        return np.random.default_rng([self.seed, self.epoch, *of_what])

    def _place(self, name: str) -> Place:
        if not self.shuffle or self.reader.tile_px is None:
            return CENTRE
        rows, columns = self.random(*name.encode("utf-8", "surrogateescape")).random(2)
        return float(rows), float(columns)

    def decoded(self, samples: Sequence[Sample]) -> Iterator[CodeSample]:
        """Decodes samples together; broken ones are left out, or raised in their turn."""
        intact = [sample for sample in samples if isinstance(sample.data, bytes)]
        results = self.reader.read([sample.data for sample in intact], [self._place(sample.name) for sample in intact])  # type: ignore[misc]
        codes = iter(results)
        for sample in samples:
            of_sample = next(codes) if isinstance(sample.data, bytes) else Codes([], error=sample.data)
            if of_sample.error is None:
                yield _as_sample(sample, of_sample)
            else:
                self.handle(type(of_sample.error)(f"{sample.source}: {of_sample.error}"))

    def handle(self, error: VqcodecError) -> None:
        """Raises an error of a file, or logs and counts it.

        Raises:
            VqcodecError: It is not to be left out.
        """
        if self.broken == "raise":
            raise error
        self._state.count_left_out()
        _LOG.warning("left out: %s", error)


def _as_sample(sample: Sample, codes: Codes) -> CodeSample:
    maps = [torch.from_numpy(indices) for indices in codes.maps]
    made = CodeSample(maps=maps, label=sample.label, name=sample.name, width=codes.width, height=codes.height)
    if codes.pixels is not None:
        made["pixels"] = torch.from_numpy(np.ascontiguousarray(codes.pixels.transpose(2, 0, 1)))
    return made
