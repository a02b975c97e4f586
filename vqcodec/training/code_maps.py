"""Code maps of training photos: computed once by a trained autoencoder, kept in flat uint16 files, drawn as tiles.

<folder>/maps.json      model, lambdas that the codes were chosen by, sizes of the top maps, digest of the photos
         map_<n>.u16    all photos' maps n, one after another, row by row
         codebooks.npy  float32 [maps, K, D], the vectors of the codes
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqcodec.errors import ModelError
from vqcodec.format.container import MAX_MAPS
from vqcodec.models.model import Model
from vqcodec.nn.autoencoder.blocks import encode_in_blocks
from vqcodec.nn.configs import PATCH_TOP
from vqcodec.rate.choice import RateDistortionChoice
from vqcodec.training.data import PhotoSet, read_sizes
from vqcodec.training.loop import step_rng
from vqcodec.training.storage import replacing_files

INDEX_NAME = "maps.json"
CODEBOOKS_NAME = "codebooks.npy"
_CROPS = 16

Read = TypeVar("Read")


@dataclass(frozen=True)
class CodeMaps:
    """Code maps of many photos.

    Attributes:
        maps: a flat uint16 array for each map number.
        offsets: [P] int64, where each photo starts in the top's array; the others' is 4 times that.
        heights, widths: [P] int64, of the top maps in codes.
        codebooks: float32 [maps, K, D], the vectors of the codes.
    """

    maps: list[NDArray[np.uint16]]
    offsets: NDArray[np.int64]
    heights: NDArray[np.int64]
    widths: NDArray[np.int64]
    codebooks: NDArray[np.float32]

    @property
    def codebook_size(self) -> int:
        """K, the codes of each map."""
        return int(self.codebooks.shape[1])

    def level(self, photo: int, number: int) -> NDArray[np.uint16]:
        """Map `number` of one photo, a view."""
        scale = 1 if number == 0 else 2
        height, width = scale * int(self.heights[photo]), scale * int(self.widths[photo])
        start = scale * scale * int(self.offsets[photo])
        return self.maps[number][start : start + height * width].reshape(height, width)

    def tile(self, photo: int, top: int, left: int, size: int, num_maps: int) -> list[NDArray[np.uint16]]:
        """The first maps of a square tile: size x size codes of the top from (top, left), and twice that of the others."""
        tiles = []
        for number in range(num_maps):
            scale = 1 if number == 0 else 2
            rows, columns = slice(scale * top, scale * (top + size)), slice(scale * left, scale * (left + size))
            tiles.append(self.level(photo, number)[rows, columns])
        return tiles

    def random_tiles(self, count: int, size: int, num_maps: int, rng: np.random.Generator) -> list[Tensor]:
        """Tiles from photos drawn in proportion to their area: int64 [count, size, size] of the top, [count, 2 size, 2 size] of the others.

        Raises:
            ValueError: no photo is as large as a tile.
        """
        usable = self._usable(size)
        areas = (self.heights[usable] * self.widths[usable]).astype(np.float64)
        tiles = []
        for photo in rng.choice(usable, size=count, p=areas / areas.sum()):
            top, left = rng.integers(self.heights[photo] - size + 1), rng.integers(self.widths[photo] - size + 1)
            tiles.append(self.tile(int(photo), int(top), int(left), size, num_maps))
        return _stacked(tiles)

    def corner_tiles(self, count: int, size: int, num_maps: int) -> list[Tensor]:
        """The upper left tile of photos spread evenly over the set; shapes as of `random_tiles`."""
        usable = self._usable(size)
        chosen = usable[np.linspace(0, len(usable) - 1, min(count, len(usable))).astype(int)]
        return _stacked([self.tile(int(photo), 0, 0, size, num_maps) for photo in chosen])

    def _usable(self, size: int) -> NDArray[np.int64]:
        usable = np.flatnonzero((self.heights >= size) & (self.widths >= size))
        if len(usable) == 0:
            raise ValueError(f"no photo has {size}x{size} codes in its top map")
        return usable


def _stacked(tiles: list[list[NDArray[np.uint16]]]) -> list[Tensor]:
    return [torch.from_numpy(np.stack(level).astype(np.int64)) for level in zip(*tiles, strict=True)]


def extract_code_maps(
    model: Model,
    photos: PhotoSet,
    folder: Path,
    *,
    num_maps: int | None = None,
    rate_weights: Sequence[float] = (0.0,),
    crop_size: int | None = None,
    seed: int = 0,
    passes: int = 1,
    on_progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Encodes every photo `passes` times, each time from a random offset of under 8 pixels, or a random crop of it, and perhaps mirrored.

    Args:
        model: whose codes.
        photos: to encode.
        folder: to write.
        num_maps: the first maps to compute, all by default.
        rate_weights: lambdas that codes are chosen by (`RateDistortionChoice`); photos, or batches of crops, take them in turn.
        crop_size: side of the crops in pixels, a multiple of 8, for a sample of each photo in much less time; None for whole photos.
            Smaller photos, and such of under 8 pixels, are left out.
        seed: of offsets and mirrors.
        passes: over the photos.
        on_progress: told how many photos have been encoded since it was last told.

    Raises:
        ModelError: crop_size is no multiple of 8, or no photo is as large.
    """
    side = crop_size or PATCH_TOP
    if side % PATCH_TOP:
        raise ModelError(f"crop_size must be a multiple of {PATCH_TOP}, not {side}")
    largest = int(np.minimum(photos.heights, photos.widths).max())
    if largest < side:
        raise ModelError(f"no photo has {side}x{side} pixels; the shorter side of the largest has {largest}")
    rng = step_rng(seed, 0)
    sizes: list[tuple[int, int]] = []
    chosen_by = cycle(rate_weights)
    num_maps = min(model.network.config.num_maps, num_maps or model.network.config.num_maps)
    with ExitStack() as stack:
        new = stack.enter_context(replacing_files(folder, last=INDEX_NAME, stale=(INDEX_NAME, "map_*.u16")))
        files = [stack.enter_context((new / _map_file_name(number)).open("wb")) for number in range(num_maps)]
        for batch in _batches(_views(photos, passes, crop_size, rng), 1 if crop_size is None else _CROPS):
            x = torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2)
            choose = RateDistortionChoice(model.codings, next(chosen_by), pixels=x)
            with torch.inference_mode():
                maps = encode_in_blocks(model.network, x, num_maps, choose=choose)
            for file, chosen in zip(files, maps, strict=True):
                file.write(chosen.indices.numpy().astype("<u2").tobytes())
            sizes += [(maps[0].indices.shape[1], maps[0].indices.shape[2])] * len(batch)
            on_progress(len(batch))
        for file in files:
            file.close()
        index = {
            "model": model.config.id,
            "weights_sha256": model.config.weights_sha256,
            "photos": photos.digest,
            "rate_weights": list(rate_weights),
            "sizes": sizes,
        }
        np.save(new / CODEBOOKS_NAME, model.network.codebooks.float().cpu().numpy())
        (new / INDEX_NAME).write_text(json.dumps(index), encoding="utf-8")


def _map_file_name(number: int) -> str:
    return f"map_{number}.u16"


def _views(photos: PhotoSet, passes: int, crop_size: int | None, rng: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
    """What is encoded of each photo, uint8 [H, W, 3] with multiples of 8."""
    for _ in range(passes):
        for number in range(len(photos)):
            photo = photos.photo(number)
            if min(photo.shape[:2]) < (crop_size or PATCH_TOP):
                continue
            spare = [side - crop_size if crop_size else min(PATCH_TOP - 1, side - PATCH_TOP) for side in photo.shape[:2]]
            top, left = (int(rng.integers(length + 1)) for length in spare)
            height, width = (
                (crop_size or side - start) // PATCH_TOP * PATCH_TOP for side, start in zip(photo.shape, (top, left), strict=False)
            )
            view = photo[top : top + height, left : left + width]
            yield view[:, ::-1] if rng.random() < 0.5 else view


def _batches(views: Iterable[NDArray[np.uint8]], size: int) -> Iterator[list[NDArray[np.uint8]]]:
    iterator = iter(views)
    while batch := list(islice(iterator, size)):
        yield batch


def open_code_maps(folder: Path) -> CodeMaps:
    """Opens what `extract_code_maps` wrote.

    Raises:
        ModelError: it is not there, or not whole.
    """
    sizes = _read(read_sizes, folder / INDEX_NAME)
    codebooks = _read(_read_codebooks, folder / CODEBOOKS_NAME)
    counts = sizes[:, 0] * sizes[:, 1]
    maps = []
    for number in range(_count_maps(folder)):
        path = folder / _map_file_name(number)
        level = _read(_open_map, path)
        expected = int(counts.sum()) * (1 if number == 0 else 4)
        if len(level) != expected:
            raise ModelError(f"{path}: holds {len(level)} codes, expected {expected}; extract the code maps again")
        maps.append(level)
    return CodeMaps(maps, np.concatenate([[0], np.cumsum(counts)[:-1]]), sizes[:, 0], sizes[:, 1], codebooks)


def _count_maps(folder: Path) -> int:
    """One more than the largest number that a map in the folder has, at least 1."""
    numbers = [number for number in range(MAX_MAPS) if (folder / _map_file_name(number)).exists()]
    return 1 + max(numbers, default=0)


def _read(reader: Callable[[Path], Read], path: Path) -> Read:
    try:
        return reader(path)
    except FileNotFoundError as error:
        raise ModelError(f"{path.parent}: holds no {path.name}; extract code maps into it first") from error
    except (ValueError, EOFError) as error:
        raise ModelError(f"{path}: damaged ({error}); extract the code maps again") from error


def _open_map(path: Path) -> NDArray[np.uint16]:
    return np.memmap(path, "<u2", mode="r")


def _read_codebooks(path: Path) -> NDArray[np.float32]:
    with path.open("rb") as file:
        codebooks: NDArray[np.float32] = np.lib.format.read_array(file, allow_pickle=False)
    if codebooks.dtype != np.float32 or codebooks.ndim != 3:
        raise ValueError(f"holds {codebooks.dtype} {list(codebooks.shape)}, expected float32 of 3 axes")
    return codebooks
