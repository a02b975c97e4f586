"""The code maps of the .vq files in tar shards."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from torch.utils.data import IterableDataset

from vqcodec.datasets.code_maps import CodeMaps, CodeSample
from vqcodec.datasets.ranks import consumer, is_first_worker
from vqcodec.datasets.shard_names import ShardNames
from vqcodec.datasets.tar import Sample, read_shard
from vqcodec.errors import FormatError, VqcodecError


class ShardCodeMaps(CodeMaps, IterableDataset[CodeSample]):
    """The code maps of the .vq files in tar shards; `CodeMaps` describes the arguments.

    All workers of all ranks together read every sample exactly once an epoch. Where there are at least as many shards as workers, each
    reads shards of its own; otherwise each reads its share of every shard. Labels are those of members `.cls`.

    Attributes:
        shards: paths of the shards.
    """

    shards: list[Path]

    def _find(self, source: Any) -> None:
        is_list = isinstance(source, Iterable) and not isinstance(source, str | bytes | bytearray | memoryview | Mapping | os.PathLike)
        shards = list(source) if is_list else [source]
        for shard in shards:
            if not isinstance(shard, str | os.PathLike):
                raise TypeError(f"source must be a folder, a tar shard or a list of tar shards, not {shard!r}{' in a list' * is_list}")
        self.shards = [Path(shard) for shard in shards]
        if len(shards) == 1 and not self.shards[0].exists() and (names := ShardNames.parse(self.shards[0])).first:
            self.shards = names.existing()
        if not self.shards:
            found = f"{source}: no such files" if isinstance(source, str | os.PathLike) else "no shard is named"
            raise VqcodecError(f"{found}, expected tar shards")
        for shard in self.shards:
            if not shard.is_file():
                found = "is a folder" if shard.is_dir() else "is no regular file" if shard.exists() else "no such file"
                raise VqcodecError(f"{shard}: {found}, expected a tar shard, or one folder of .vq files")
        if len(set(self.shards)) < len(self.shards):
            raise VqcodecError(f"{next(shard for shard in self.shards if self.shards.count(shard) > 1)}: is named twice")

    def __iter__(self) -> Iterator[CodeSample]:
        """Yields the samples of this worker.

        Raises:
            VqcodecError: A file or a shard is broken.
        """
        batch: list[Sample] = []
        for sample in self._shuffled(self._samples()):
            batch.append(sample)
            if len(batch) == self.batch_size:
                yield from self.decoded(batch)
                batch = []
        yield from self.decoded(batch)

    def _samples(self) -> Iterator[Sample]:
        me = consumer(self.rank)
        order = self.random().permutation(len(self.shards)) if self.shuffle else range(len(self.shards))
        shards = [self.shards[number] for number in order]
        has_own = len(shards) >= me.count
        turn = _Turn(0 if has_own else me.number, 1 if has_own else me.count)
        for shard in shards[me.number :: me.count] if has_own else shards:
            try:
                yield from read_shard(shard, turn)
            except OSError as error:
                self.handle(FormatError(f"{shard}: {(error.strerror or str(error)).lower()}"))
            except FormatError as error:
                if has_own or is_first_worker() or self.broken == "raise":  # what all workers find broken counts once
                    self.handle(error)

    def _shuffled(self, samples: Iterator[Sample]) -> Iterator[Sample]:
        """Yields samples in the order in which they leave a buffer from random places."""
        if not self.shuffle:
            yield from samples
            return
        rng = self.random(consumer(self.rank).number)
        waiting: list[Sample] = []
        for sample in samples:
            waiting.append(sample)
            if len(waiting) >= self.buffer:
                yield waiting.pop(int(rng.integers(len(waiting))))
        for number in rng.permutation(len(waiting)):
            yield waiting[number]


class _Turn:
    """Whose turn it is: true at every `count`th call, from call `number` on."""

    def __init__(self, number: int, count: int) -> None:
        self.number, self.count, self.calls = number, count, 0

    def __call__(self) -> bool:
        self.calls += 1
        return (self.calls - 1) % self.count == self.number
