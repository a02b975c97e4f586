"""Code maps of training photos, which an autoencoder computes once into flat uint16 files, and tiles of them to train priors on.

<folder>/maps.json      the model, the lambdas that codes were chosen by, the sizes of the top maps, the digest of the photos
         map_<n>.u16    maps number n of all photos, one after another, row by row
         codebooks.npy  the vectors of the codes, float32 [maps, K, D]
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqcodec.errors import ModelError
from vqcodec.format.container import MAX_MAPS, map_scale
from vqcodec.models.config import ModelConfig
from vqcodec.models.encoders import load_encoder
from vqcodec.models.model import Model
from vqcodec.nn.autoencoder.blocks import encode_in_blocks
from vqcodec.nn.configs import PATCH_TOP
from vqcodec.rate.choice import RateDistortionChoice, place_weights
from vqcodec.rate.control import RateControl
from vqcodec.storage import replacing_files
from vqcodec.training.data import PhotoSet
from vqcodec.training.sizes import Sizes, read_sizes
from vqcodec.training.trainer import step_rng

INDEX_NAME: Final = "maps.json"
CODEBOOKS_NAME: Final = "codebooks.npy"
_CROPS_PER_BATCH: Final = 16

Read = TypeVar("Read")


@dataclass(frozen=True)
class CodeMaps:
    """The code maps of many photos.

    Attributes:
        maps: flat uint16 array for each number of a map.
        sizes: sizes of the top maps in codes.
        codebooks: float32 [maps, K, D], vectors of the codes.
    """

    maps: list[NDArray[np.uint16]]
    sizes: Sizes
    codebooks: NDArray[np.float32]

    @property
    def codebook_size(self) -> int:
        """K, the number of codes of each map."""
        return int(self.codebooks.shape[1])

    def fingerprint(self, num_maps: int) -> str:
        """Returns the number of photos, and the beginning of a SHA-256 of their first maps and of the codebooks."""
        digest = hashlib.sha256(np.stack([self.sizes.heights, self.sizes.widths]).astype("<i8").tobytes() + self.codebooks.tobytes())
        for codes in self.maps[:num_maps]:
            digest.update(np.ascontiguousarray(codes).data)
        return f"{len(self.sizes)} photos ({digest.hexdigest()[:12]})"

    def photo_map(self, photo: int, number: int) -> NDArray[np.uint16]:
        """Returns map `number` of one photo, [h, w], as a view."""
        scale = map_scale(number)
        height, width = scale * int(self.sizes.heights[photo]), scale * int(self.sizes.widths[photo])
        start = scale * scale * int(self.sizes.offsets[photo])
        return self.maps[number][start : start + height * width].reshape(height, width)

    def tile(self, photo: int, top: int, left: int, size: int, num_maps: int) -> list[NDArray[np.uint16]]:
        """Returns the first maps of a square tile of one photo.

        Args:
            photo: number of the photo.
            top: row of the upper edge in codes of the top map.
            left: column of the left edge in codes of the top map.
            size: side of the tile in codes of the top map; that of the other maps is twice as long.
            num_maps: number of maps.
        """
        tiles = []
        for number in range(num_maps):
            scale = map_scale(number)
            rows, columns = slice(scale * top, scale * (top + size)), slice(scale * left, scale * (left + size))
            tiles.append(self.photo_map(photo, number)[rows, columns])
        return tiles

    def random_tiles(self, count: int, size: int, num_maps: int, rng: np.random.Generator, part: slice = slice(None)) -> list[Tensor]:
        """Draws tiles, photos in proportion to their area and places at random.

        Args:
            count: number of tiles.
            size: side of a tile in codes of the top map.
            num_maps: number of maps.
            rng: source of everything that is drawn.
            part: which of the tiles are wanted; what is drawn is the same for every part.

        Returns:
            The indices of each map: int64 [N, size, size] of the top, [N, 2 size, 2 size] of the others.

        Raises:
            ValueError: No photo is as large as a tile.
        """
        places = []
        for photo in self.sizes.draw(count, size, rng):
            top, left = (rng.integers(sides[photo] - size + 1) for sides in (self.sizes.heights, self.sizes.widths))
            places.append((int(photo), int(top), int(left)))
        return _stacked([self.tile(*place, size, num_maps) for place in places[part]])

    def corner_tiles(self, count: int, size: int, num_maps: int) -> list[Tensor]:
        """Returns the upper left tiles of at most `count` photos spread evenly over the set, in the shapes that `random_tiles` has.

        Raises:
            ValueError: No photo is as large as a tile.
        """
        return _stacked([self.tile(int(photo), 0, 0, size, num_maps) for photo in self.sizes.spread(count, size)])


def _stacked(tiles: list[list[NDArray[np.uint16]]]) -> list[Tensor]:
    return [torch.from_numpy(np.stack(of_map).astype(np.int64)) for of_map in zip(*tiles, strict=True)]


def check_extraction(config: ModelConfig, *, num_maps: int | None, crop_size: int | None) -> None:
    """Checks those arguments of `extract_code_maps` that need no photos.

    Raises:
        ModelError: Crop_size is no multiple of 8.
        RateError: The model has fewer maps.
    """
    if crop_size is not None and crop_size % PATCH_TOP:
        raise ModelError(f"crop_size must be a multiple of {PATCH_TOP}, not {crop_size}")
    if num_maps is not None:
        RateControl(num_maps=num_maps).operating_point(config)


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
    """Computes the code maps of photos and writes them into a folder, in place of those that are there.

    A photo is encoded from a random offset of under 8 pixels, or a random crop of it is, and half of the photos are mirrored.

    Args:
        model: model that encodes.
        photos: photos to encode.
        folder: folder to write.
        num_maps: number of the first maps to compute; all by default.
        rate_weights: lambdas that codes are chosen by (`RateDistortionChoice`); photos, or batches of crops, take them in turn.
        crop_size: side of the crops in pixels, a multiple of 8, for a sample of each photo in much less time; None for whole photos.
            Smaller photos are left out, and so are those of under 8 pixels.
        seed: seed of offsets and mirrors.
        passes: number of times that each photo is encoded.
        on_progress: function that is called with the number of photos that have been encoded since the last call.

    Raises:
        ModelError: Crop_size is no multiple of 8, or no photo is as large.
        RateError: The model has fewer maps.
    """
    check_extraction(model.config, num_maps=num_maps, crop_size=crop_size)
    side = crop_size or PATCH_TOP
    if (largest := photos.sizes.largest_side) < side:
        raise ModelError(f"no photo has {side}x{side} pixels; the shorter side of the largest has {largest}")
    rng = step_rng(seed, 0)
    sizes: list[tuple[int, int]] = []
    chosen_by = cycle(rate_weights)
    encoder = load_encoder(model)
    num_maps = num_maps or model.config.num_maps
    with ExitStack() as stack:
        new = stack.enter_context(replacing_files(folder, last=INDEX_NAME, stale=(INDEX_NAME, "map_*.u16")))
        files = [stack.enter_context((new / _map_file_name(number)).open("wb")) for number in range(num_maps)]
        for batch in _batches(_views(photos, passes, crop_size, rng), 1 if crop_size is None else _CROPS_PER_BATCH):
            x = np.stack(batch)
            choose_at = RateDistortionChoice(model.codings, next(chosen_by), weights=place_weights(x)).within
            maps = encode_in_blocks(encoder, x, num_maps, choose_at=choose_at)
            for file, chosen in zip(files, maps, strict=True):
                file.write(chosen.indices.astype("<u2").tobytes())
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
        np.save(new / CODEBOOKS_NAME, encoder.codebooks)
        (new / INDEX_NAME).write_text(json.dumps(index), encoding="utf-8")


def _map_file_name(number: int) -> str:
    return f"map_{number}.u16"


def _views(photos: PhotoSet, passes: int, crop_size: int | None, rng: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
    """Yields the part of each photo that is encoded, uint8 [H, W, 3] with H and W multiples of 8."""
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
    """Opens the code maps that `extract_code_maps` wrote.

    Raises:
        ModelError: The folder holds none, or a file is damaged.
    """
    sizes = replace(_read(read_sizes, folder / INDEX_NAME), unit="codes in its top map")
    codebooks = _read(_read_codebooks, folder / CODEBOOKS_NAME)
    maps = []
    for number in range(_count_maps(folder)):
        path = folder / _map_file_name(number)
        codes = _read(_open_map, path)
        expected = int(sizes.areas.sum()) * map_scale(number) ** 2
        if len(codes) != expected:
            raise ModelError(f"{path}: holds {len(codes)} codes, expected {expected}; extract the code maps again")
        maps.append(codes)
    return CodeMaps(maps, sizes, codebooks)


def _count_maps(folder: Path) -> int:
    """Returns one more than the largest number that a map in the folder has, at least 1."""
    numbers = [number for number in range(MAX_MAPS) if (folder / _map_file_name(number)).exists()]
    return 1 + max(numbers, default=0)


def _read(reader: Callable[[Path], Read], path: Path) -> Read:
    """Returns what a reader reads from a file.

    Raises:
        ModelError: The file is absent or damaged.
    """
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
