"""The bytes of .vq files to code maps, many files in one walk; no network is loaded but the priors of the maps that are wanted."""

import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vqcodec.checks import checked_at_least
from vqcodec.decoding.files import DecodedFile, OpenedFile, decode_codes, open_file
from vqcodec.decoding.painting import paint, paint_region
from vqcodec.decoding.region import Region
from vqcodec.errors import FormatError, ImageError, VqcodecError
from vqcodec.format.container import MAX_FILE_BYTES, map_scale, read_header
from vqcodec.images.picture import Picture
from vqcodec.models.model import Model, load_model
from vqcodec.models.registry import find_model_by_number
from vqcodec.nn.configs import PATCH_TOP, whole_patches

MAX_WALKED_PIXELS: Final = 1 << 24
"""Pixels of the pictures at which files that are decoded together are enough."""

Place = tuple[float, float]
"""Where a tile lies in its picture: shares in 0..1 of the rows above, and of the columns to the left, that the tile leaves free."""

CENTRE: Final[Place] = (0.5, 0.5)


@dataclass(frozen=True)
class Codes:
    """The code maps of one file, or why there are none.

    Attributes:
        maps: uint16 [h, w] each, top first.
        width, height: size of the picture in pixels, all of it where the maps are those of a tile.
        pixels: uint8 [H, W, 3], the picture as it is painted from the maps, with the file's layers; None where it was not asked for.
        error: None where all is well.
    """

    maps: list[NDArray[np.uint16]]
    width: int = 0
    height: int = 0
    pixels: NDArray[np.uint8] | None = None
    error: VqcodecError | None = None


def read_file(path: Path) -> bytes | FormatError:
    """Returns the bytes of a .vq file, or why it cannot be one; what is no regular file, such as a pipe, is not opened."""
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            return FormatError("is no regular file")
        if about.st_size > MAX_FILE_BYTES:
            return FormatError(f"larger than {MAX_FILE_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        return FormatError((error.strerror or str(error)).lower())


@dataclass(frozen=True)
class CodeReader:
    """What is read of .vq files.

    Attributes:
        maps: number of first maps; None for all that a file holds.
        tile_px: side in pixels of the square tile that is read of each picture, a multiple of 8; None for all of the picture.
        pixels: whether the maps are painted, too.
    """

    maps: int | None = None
    tile_px: int | None = None
    pixels: bool = False

    def __post_init__(self) -> None:
        if self.maps is not None:
            object.__setattr__(self, "maps", checked_at_least("maps", self.maps, 1))
        if self.tile_px is not None:
            object.__setattr__(self, "tile_px", checked_at_least("tile_px", self.tile_px, PATCH_TOP))
            if self.tile_px % PATCH_TOP:
                raise ValueError(f"tile_px must be a multiple of {PATCH_TOP}, not {self.tile_px}")

    def read(self, files: Sequence[bytes], places: Sequence[Place] | None = None) -> list[Codes]:
        """Decodes the maps of files, those of one model together.

        Args:
            files: bytes of each file.
            places: where the tile of each file lies; None for the middle of each.

        Returns:
            The codes of each file. What is wrong with a file is told by its entry.
        """
        results: dict[int, Codes] = {}
        whole: dict[int, OpenedFile] = {}
        for number, (data, place) in enumerate(zip(files, [CENTRE] * len(files) if places is None else places, strict=True)):
            try:
                file = self._opened(data, place)
                if _needs_all_groups(file):
                    whole[number] = file
                else:
                    results[number] = self._tile(file)
            except VqcodecError as error:
                results[number] = Codes([], error=error)
        for group in _within_pixels(whole):
            results |= zip(group, self._together(list(group.values())), strict=True)
        return [results[number] for number in range(len(files))]

    def _opened(self, data: bytes, place: Place) -> OpenedFile:
        header, _ = read_header(data)
        self._check_count(len(header.maps))
        region = self._region(header.width, header.height, place)
        return open_file(data, model=model_named(header.model_number, header.weights_digest), layers=self.pixels, region=region)

    def _check_count(self, count: int) -> None:
        if self.maps is not None and count < self.maps:
            raise FormatError(f"file holds {count} maps, expected {self.maps} or more")

    def _region(self, width: int, height: int, place: Place) -> Region | None:
        """Returns the tile of a picture, whose edges are multiples of 8, or None where all of the picture is wanted."""
        if self.tile_px is None:
            return None
        if min(width, height) < self.tile_px:
            raise ImageError(f"picture of {width}x{height} pixels, expected sides of {self.tile_px} at least, those of a tile")
        free = [(side - self.tile_px) // PATCH_TOP for side in (height, width)]
        top, left = (PATCH_TOP * min(steps, int(share * (steps + 1))) for steps, share in zip(free, place, strict=True))
        return Region(left, top, self.tile_px, self.tile_px)

    def _tile(self, file: OpenedFile) -> Codes:
        """Decodes the tile groups of a file that the tile touches; and paints the tile, if wanted, by those around it, too."""
        assert file.part is not None
        maps = [indices.astype(np.uint16) for indices in file.groups.codes(file.part, len(file.maps[: self.maps]))]
        pixels = paint_region(file, max_maps=self.maps).rgb if self.pixels else None
        return Codes(maps, file.header.width, file.header.height, pixels)

    def _together(self, files: Sequence[OpenedFile]) -> list[Codes]:
        """Decodes files as a whole, and paints them, if wanted."""
        decoded = decode_codes(files, max_maps=self.maps)
        intact = [one for one in decoded if one.error is None]
        pictures = iter(paint(intact)) if self.pixels else repeat(None)
        return [Codes([], error=one.error) if one.error is not None else _cut(one, next(pictures)) for one in decoded]


@lru_cache(maxsize=64)
def model_named(number: int, weights_digest: bytes) -> Model:
    """Returns the model that a file names, of which nothing is made that is not used."""
    return load_model(find_model_by_number(number, weights_digest), "cpu")


def _needs_all_groups(file: OpenedFile) -> bool:
    """Returns whether what is wanted of a file touches all tile groups of its picture."""
    rows, columns = file.groups.grid.shape
    return file.part is None or len(file.groups.grid.numbers_of(file.part)) == rows * columns


def _within_pixels(files: dict[int, OpenedFile]) -> Iterator[dict[int, OpenedFile]]:
    """Yields files in groups, of which each ends with the file that brings it to `MAX_WALKED_PIXELS`."""
    group: dict[int, OpenedFile] = {}
    pixels = 0
    for number, file in files.items():
        group[number] = file
        pixels += file.header.width * file.header.height
        if pixels >= MAX_WALKED_PIXELS:
            yield group
            group, pixels = {}, 0
    if group:
        yield group


def _cut(decoded: DecodedFile, picture: Picture | None) -> Codes:
    """Returns what is wanted of a file that was decoded, and painted or not."""
    header = decoded.file.header
    part = decoded.file.part or (slice(0, whole_patches(header.height)), slice(0, whole_patches(header.width)))
    maps = []
    for number, indices in enumerate(decoded.indices):
        rows, columns = (slice(*(map_scale(number) * edge // PATCH_TOP for edge in (place.start, place.stop))) for place in part)
        maps.append(indices[rows, columns].astype(np.uint16))
    return Codes(maps, header.width, header.height, None if picture is None else picture.rgb[part])
