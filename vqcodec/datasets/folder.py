"""The code maps of the .vq files in a folder."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Sampler

from vqcodec.datasets.code_maps import CodeMaps, CodeSample
from vqcodec.datasets.reading import read_file
from vqcodec.datasets.tar import NO_LABEL, Sample
from vqcodec.errors import VqcodecError
from vqcodec.format.container import SUFFIX


class FolderCodeMaps(CodeMaps):
    """The code maps of the .vq files in a folder; `CodeMaps` describes the arguments.

    A file's class is the first folder below the given one that it lies in. Hidden files and folders are passed over, and links to folders.
    A `DataLoader` decodes each of its batches together. With `broken="skip"`, its batches lack what is broken; one of which nothing is left
    is an error, since a `DataLoader` makes no empty batch.

    Attributes:
        paths: the files, relative to the folder, in order.
        classes: names of the classes, in order; a label is a place in this list.
    """

    folder: Path
    paths: list[str]
    classes: list[str]

    def _find(self, source: Any) -> None:
        if not isinstance(source, str | os.PathLike):
            raise TypeError(f"source must be a folder, not {source!r}")
        self.folder = Path(source)
        self.paths = sorted(_files_below(self.folder, self.handle))
        if not self.paths:
            raise VqcodecError(f"{self.folder}: no file ending in {SUFFIX}, expected a folder of them, or tar shards by their names")
        self.classes = sorted({path.partition("/")[0] for path in self.paths if "/" in path})
        self._labels = {name: number for number, name in enumerate(self.classes)}

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> CodeSample:
        """Returns a sample.

        Raises:
            IndexError: There is no such sample.
            VqcodecError: It is broken.
        """
        return self.__getitems__([range(len(self))[index]])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[CodeSample]:
        """Returns samples, decoded together, without those that are broken and to be left out.

        Raises:
            VqcodecError: One is broken, or all are.
        """
        samples = list(self.decoded([self._sample(self.paths[index]) for index in indices]))
        if not samples and len(indices):
            first = self.folder / self.paths[indices[0]]
            raise VqcodecError(f"{first}: is broken, and so is all else that was to be read with it; expected one intact file in a batch")
        return samples

    def __iter__(self) -> Iterator[CodeSample]:
        """Yields the samples of this rank in the order of this epoch.

        Raises:
            VqcodecError: One is broken.
        """
        order = self.order()
        for start in range(0, len(order), self.batch_size):
            yield from self.decoded([self._sample(self.paths[index]) for index in order[start : start + self.batch_size]])

    def sampler(self) -> "RankSampler":
        """Returns a sampler for a `DataLoader`, by which each file is read exactly once an epoch by all ranks together."""
        return RankSampler(self)

    def order(self) -> list[int]:
        """Returns the numbers of the files that this rank reads in this epoch, in their order."""
        count = len(self)
        order = self.random().permutation(count) if self.shuffle else np.arange(count)
        return [int(number) for number in order[self.rank.number :: self.rank.count]]

    def _sample(self, path: str) -> Sample:
        full = self.folder / path
        label = self._labels[path.partition("/")[0]] if "/" in path else NO_LABEL
        return Sample(path, str(full), label, read_file(full))


class RankSampler(Sampler[int]):
    """The numbers of the files that a rank reads; files that cannot be shared out evenly are neither repeated nor left out."""

    def __init__(self, dataset: FolderCodeMaps) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(range(self.dataset.rank.number, len(self.dataset), self.dataset.rank.count))

    def __iter__(self) -> Iterator[int]:
        return iter(self.dataset.order())

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch of the data set, as trainers call it."""
        self.dataset.set_epoch(epoch)


def _files_below(folder: Path, handle: Callable[[VqcodecError], None]) -> Iterator[str]:
    """Yields the .vq files in a folder and below it, relative to it, with "/" between their parts.

    Args:
        folder: the folder.
        handle: function that is told of each folder that cannot be read.
    """

    def tell(error: OSError) -> None:
        handle(VqcodecError(f"{error.filename}: {(error.strerror or str(error)).lower()}"))

    for inside, folders, files in os.walk(folder, onerror=tell):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = Path(inside).relative_to(folder)
        for name in files:
            if name.lower().endswith(SUFFIX) and not name.startswith("."):
                yield (below / name).as_posix()
