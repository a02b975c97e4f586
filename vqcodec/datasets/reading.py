"""The bytes of .vq files to code maps, many files in one walk; no network is loaded but the priors of the maps that are wanted."""

import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vqcodec.checks import check_at_least
from vqcodec.coding.groups import GroupDecoder, GroupGrid, WholeMap
from vqcodec.coding.maps import CodedMap, MapCoding, decode_map
from vqcodec.decoding.files import OpenedFile, decode_codes, open_file
from vqcodec.decoding.painting import paint
from vqcodec.errors import FormatError, ImageError, VqcodecError
from vqcodec.format.container import MAX_FILE_BYTES, Container, Part, map_scale, map_size, read_container
from vqcodec.format.groups import read_sums
from vqcodec.format.layers import read_layers
from vqcodec.format.limits import check_file_size
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
        pixels: uint8 [H, W, 3], what the maps paint, or None where it was not asked for.
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
            check_at_least("maps", self.maps, 1)
        if self.tile_px is not None:
            check_at_least("tile_px", self.tile_px, PATCH_TOP)
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
        where = [CENTRE] * len(files) if places is None else places
        if self.pixels:
            return self._painted(files, where)
        parsed = [self._parsed(data) for data in files]
        results: dict[int, Codes] = {number: Codes([], error=one) for number, one in enumerate(parsed) if isinstance(one, VqcodecError)}
        intact = {number: one for number, one in enumerate(parsed) if isinstance(one, _Parsed)}
        parts, whole = {}, {}
        for number, one in intact.items():
            try:
                parts[number] = part = self._part(*one.picture_size, where[number])
                if one.is_all(part):
                    whole[number] = one
                else:
                    results[number] = one.result(_codes_of_part(one, part))
            except VqcodecError as error:
                results[number] = Codes([], error=error)
        for group in _within_pixels(whole):
            for number, decoded in _decoded_together(group).items():
                if isinstance(decoded, VqcodecError):
                    results[number] = Codes([], error=decoded)
                else:
                    results[number] = group[number].result(_cut(decoded, parts[number]))
        return [results[number] for number in range(len(files))]

    def _parsed(self, data: bytes) -> "_Parsed | VqcodecError":
        try:
            container = read_container(data)
            header = container.header
            check_file_size(header.width, header.height, len(data), None)
            read_layers(container.layers, header.width, header.height)
            self._check_count(len(header.maps))
            model = model_named(header.model_number, header.weights_digest)
            if len(header.maps) > model.config.num_maps:
                raise FormatError(f"file holds {len(header.maps)} maps, model {model.config.id} has {model.config.num_maps}")
            codings = list(model.codings[: len(header.maps[: self.maps])])
        except VqcodecError as error:
            return error
        return _Parsed(container, codings)

    def _check_count(self, count: int) -> None:
        if self.maps is not None and count < self.maps:
            raise FormatError(f"file holds {count} maps, expected {self.maps} or more")

    def _part(self, width: int, height: int, place: Place) -> Part:
        """Returns the rows and columns of a tile in pixels, whose edges are multiples of 8."""
        if self.tile_px is None:
            return slice(0, whole_patches(height)), slice(0, whole_patches(width))
        if min(width, height) < self.tile_px:
            raise ImageError(f"picture of {width}x{height} pixels, expected sides of {self.tile_px} at least, those of a tile")
        free = [(side - self.tile_px) // PATCH_TOP for side in (height, width)]
        starts = [PATCH_TOP * min(steps, int(share * (steps + 1))) for steps, share in zip(free, place, strict=True)]
        return slice(starts[0], starts[0] + self.tile_px), slice(starts[1], starts[1] + self.tile_px)

    def _painted(self, files: Sequence[bytes], places: Sequence[Place]) -> list[Codes]:
        results: dict[int, Codes] = {}
        opened: dict[int, tuple[OpenedFile, Part]] = {}
        for number, (data, place) in enumerate(zip(files, places, strict=True)):
            try:
                file = open_file(data, device="cpu")
                self._check_count(len(file.maps))
                opened[number] = file, self._part(file.header.width, file.header.height, place)
            except VqcodecError as error:
                results[number] = Codes([], error=error)
        decoded = decode_codes([file for file, _ in opened.values()], max_maps=self.maps)
        results |= {number: Codes([], error=one.error) for number, one in zip(opened, decoded, strict=True) if one.error is not None}
        intact = {number: one for number, one in zip(opened, decoded, strict=True) if one.error is None}
        for (number, one), picture in zip(intact.items(), paint(list(intact.values())), strict=True):
            header, part = one.file.header, opened[number][1]
            results[number] = Codes(_cut(one.indices, part), header.width, header.height, picture.rgb[part])
        return [results[number] for number in range(len(files))]


@dataclass(frozen=True)
class _Parsed:
    """A file that was taken apart, and the means to decode the maps of it that are wanted."""

    container: Container
    codings: list[MapCoding]

    @property
    def picture_size(self) -> tuple[int, int]:
        """Width and height of the picture in pixels."""
        return self.container.header.width, self.container.header.height

    @property
    def grid(self) -> GroupGrid:
        """The tile groups of the picture."""
        return GroupGrid(*self.picture_size)

    @property
    def coded(self) -> list[CodedMap]:
        """The maps of the file."""
        container = self.container
        return [CodedMap(entry, payload) for entry, payload in zip(container.header.maps, container.payloads, strict=True)]

    def size(self, number: int) -> tuple[int, int]:
        """Returns height and width of a map in codes."""
        return map_size(*self.picture_size, number)

    def is_all(self, part: Part) -> bool:
        """Returns whether a part of the picture touches all of its tile groups."""
        rows, columns = self.grid.shape
        return len(self.grid.numbers_of(part)) == rows * columns

    def result(self, maps: list[NDArray[np.uint16]]) -> Codes:
        """Returns the result of the file."""
        return Codes(maps, *self.picture_size)


@lru_cache(maxsize=64)
def model_named(number: int, weights_digest: bytes) -> Model:
    """Returns the model that a file names, of which nothing is made that is not used."""
    return load_model(find_model_by_number(number, weights_digest), "cpu")


def _within_pixels(files: dict[int, _Parsed]) -> Iterator[dict[int, _Parsed]]:
    """Yields files in groups, of which each ends with the file that brings it to `MAX_WALKED_PIXELS`."""
    group: dict[int, _Parsed] = {}
    pixels = 0
    for number, one in files.items():
        group[number] = one
        pixels += one.container.header.width * one.container.header.height
        if pixels >= MAX_WALKED_PIXELS:
            yield group
            group, pixels = {}, 0
    if group:
        yield group


def _decoded_together(files: dict[int, _Parsed]) -> dict[int, list[NDArray[np.int64]] | VqcodecError]:
    """Returns the maps of files, int64 [h, w] each, or what is wrong with them."""
    maps: dict[int, list[NDArray[np.int64]]] = {number: [] for number in files}
    errors: dict[int, VqcodecError] = {}
    codings = {id(coding): coding for one in files.values() for coding in one.codings}
    for coding in sorted(codings.values(), key=lambda coding: coding.number):
        group = [number for number, one in files.items() if number not in errors and any(own is coding for own in one.codings)]
        coded = [files[number].coded[coding.number] for number in group]
        sizes = [files[number].size(coding.number) for number in group]
        earlier = [maps[number] for number in group]
        for number, result in zip(group, decode_map(coding, coded, sizes, earlier), strict=True):
            if result.error is None:
                maps[number].append(result.indices)
            else:
                errors[number] = result.error
    return {**maps, **errors}


def _codes_of_part(one: _Parsed, part: Part) -> list[NDArray[np.uint16]]:
    """Decodes the tile groups of a file that a part of the picture touches.

    Raises:
        FormatError: They do not decode to the codes that were written.
    """
    sums = read_sums(one.container.layers, one.container.header)
    sources = [WholeMap(coding, one.coded[number], one.size(number), sums.get(number, ())) for number, coding in enumerate(one.codings)]
    codes = GroupDecoder(one.codings, sources, one.grid).codes(part, len(one.codings))
    return [indices.astype(np.uint16) for indices in codes]


def _cut(maps: Sequence[NDArray[np.int64]], part: Part) -> list[NDArray[np.uint16]]:
    """Returns a part of maps, int64 [h, w] each."""
    cut = []
    for number, indices in enumerate(maps):
        rows, columns = (slice(*(map_scale(number) * edge // PATCH_TOP for edge in (place.start, place.stop))) for place in part)
        cut.append(indices[rows, columns].astype(np.uint16))
    return cut
