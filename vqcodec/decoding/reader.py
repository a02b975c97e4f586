"""Large files, of which parts are read and painted as they are asked for, in the manner of OpenSlide's objects.

Of a file with checksums of its tile groups, header and layers are read, and then the streams that a part needs. Of any other file, a map is
read as a whole as soon as a part needs it. Exact patches are decoded as a whole for a part that they overlap, and an alpha plane or an AVIF
picture for the first part of all.
"""

from dataclasses import replace
from functools import cached_property
from threading import RLock
from types import TracebackType
from typing import BinaryIO, Final, Self

import numpy as np
from PIL import Image

from vqcodec.checks import check_at_least, check_flag, check_number, checked_size
from vqcodec.coding.groups import GroupDecoder, GroupGrid
from vqcodec.coding.tint import ColourLayer, read_colour_layer
from vqcodec.decoding.files import model_of
from vqcodec.decoding.painting import finished_picture, paint_part
from vqcodec.decoding.region import Region
from vqcodec.decoding.sources import FileBytes, StoredMap
from vqcodec.format.chunks import read_chunks
from vqcodec.format.container import GROUP_PX, MAX_HEADER_BYTES, Container, Part, ends_early, map_size, read_header
from vqcodec.format.groups import read_sums
from vqcodec.format.layers import NO_LAYERS, read_layers
from vqcodec.format.limits import check_max_pixels, check_part_size
from vqcodec.images.layers import LayerPixels, decode_layers
from vqcodec.images.metadata import Metadata, read_metadata
from vqcodec.images.picture import Picture, picture_to_pil
from vqcodec.models.model import Model
from vqcodec.models.painters import load_painter, load_sketcher
from vqcodec.nn.autoencoder.sketch import SKETCH_SCALE
from vqcodec.nn.configs import whole_patches

LEVELS: Final = ((1, None), (2, None), (4, 2), (8, 1))
"""Downsampling of each level, and the number of first maps that it is painted from, None for all."""

_STEP_PX: Final = 4 * GROUP_PX
"""Side of what is painted at a time."""


class Reader:
    """A .vq file of which regions are read, at full size or smaller. `vqcodec.open` makes one; it may be used from several threads.

    A smaller level shows the means of 2x2, 4x4 or 8x8 pixels. The smallest two are painted from the first two maps and from the first map
    alone, since finer ones hardly show there.

    Args:
        file: file that is open for reading bytes and can seek.
        model: model to decode by; None for the installed one that the file names.
        device: device for a model that is not given, "auto", "cpu" or "cuda".
        realism: 0 for the picture closest to the original, 1 for one that looks most like a photo, or between.
        layers: whether what the file says in another way than by codes is shown.
        max_pixels: most pixels of what is decoded for a read (`check_part_size`), at full size where a smaller level is read: of the
            region, of all exact patches together that it overlaps, or of the whole picture where an alpha plane or an AVIF picture is
            decoded as a whole; None for those of the format.
        owns_file: whether `close` closes the file.

    Raises:
        VqcodecError: The header or the layers are damaged, the file is cut, or its model cannot be used.
        TypeError, ValueError: layers is no truth value, or max_pixels neither None nor a whole number of at least 1.
    """

    def __init__(
        self,
        file: BinaryIO,
        *,
        model: Model | None = None,
        device: str = "auto",
        realism: float = 0.0,
        layers: bool = True,
        max_pixels: int | None = None,
        owns_file: bool = False,
    ) -> None:
        check_flag("layers", layers)
        check_max_pixels(max_pixels)
        self._max_pixels = max_pixels
        self._data, self._owns_file, self._lock, self._is_closed = FileBytes(file), owns_file, RLock(), False
        self.header, start = read_header(self._data.read(0, min(MAX_HEADER_BYTES, self._data.length)))
        header = self.header
        ends_early(self._data.length, header, start)
        self._model = model_of(header, model, device)
        self._realism = realism
        load_painter(self._model, realism)
        chunks = tuple(read_chunks(self._data.read(start, header.layers_bytes), "layers"))
        found, sums = read_layers(chunks, *self.size), read_sums(chunks, header)
        self._own_layers = found if layers else NO_LAYERS
        position, maps = start + header.layers_bytes, []
        for number, entry in enumerate(header.maps):
            size = map_size(*self.size, number)
            maps.append(StoredMap(self._data, position, self._model.codings[number], entry, size, sums.get(number, ())))
            position += entry.num_bytes
        self._metadata_start = position
        self._groups = GroupDecoder(self._model.codings, maps, GroupGrid(*self.size))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture in pixels."""
        return self.header.width, self.header.height

    @property
    def mode(self) -> str:
        """Mode of the images that are read: "L", "LA", "RGB" or "RGBA"."""
        return self.header.mode.name

    @property
    def level_count(self) -> int:
        """Number of levels, from full size down."""
        return len(LEVELS)

    @property
    def level_downsamples(self) -> tuple[int, ...]:
        """Pixels of the picture along each side of a pixel of each level."""
        return tuple(downsample for downsample, _ in LEVELS)

    @property
    def level_dimensions(self) -> tuple[tuple[int, int], ...]:
        """Width and height of each level in pixels."""
        width, height = self.size
        return tuple((-(-width // downsample), -(-height // downsample)) for downsample in self.level_downsamples)

    @cached_property
    def _layers(self) -> LayerPixels:
        return decode_layers(self._own_layers, *self.size, check=False)

    @cached_property
    def _tint(self) -> ColourLayer | None:
        return None if self._own_layers.tint is None else read_colour_layer(self._own_layers.tint, *self.size)

    @cached_property
    def _metadata(self) -> Metadata:
        chunks = tuple(read_chunks(self._data.read(self._metadata_start, self.header.metadata_bytes), "metadata"))
        return read_metadata(Container(self.header, (), chunks))

    def read_region(self, location: tuple[int, int], level: int, size: tuple[int, int], *, max_maps: int | None = None) -> Image.Image:
        """Reads a region of a level.

        Args:
            location: left and top of the region in pixels of the whole picture, at level 0.
            level: number of the level.
            size: width and height of the region in pixels of the level.
            max_maps: number of first maps to paint from; None for those of the level.

        Raises:
            VqcodecError: The file is damaged there, or the region does not lie within the level; `LimitExceededError` where too many
                pixels would be decoded.
            TypeError, ValueError: An argument is not as described, or the reader is closed.
        """
        check_number("level", level, is_whole=True)
        if not 0 <= level < self.level_count:
            raise ValueError(f"level must be in 0..{self.level_count - 1}, not {level}")
        downsample, own_maps = LEVELS[level]
        num_maps = own_maps or len(self.header.maps)
        if max_maps is not None:
            check_at_least("max_maps", max_maps, 1)
            num_maps = max_maps
        if not isinstance(location, tuple | list):
            raise TypeError(f"location must be a pair of left and top in pixels, not {location!r}")
        whole = Region.of((*location, *checked_size(size)))
        region = Region(whole.left // downsample, whole.top // downsample, whole.width, whole.height)
        part = region.within(*self.level_dimensions[level])
        with self._lock:
            self._check_open()
            return self._read(part, downsample, min(len(self.header.maps), num_maps))

    def _read(self, part: Part, downsample: int, num_maps: int) -> Image.Image:
        """Reads rows and columns of a level, step by step, so that memory does not grow by what is painted for a smaller one."""
        rows, columns = part
        self._check_pixels(self._at_full_size(part, downsample))
        metadata, step = self._metadata, _STEP_PX // downsample
        shape = rows.stop - rows.start, columns.stop - columns.start
        pixels = np.empty(shape if self.mode in ("L", "LA") else (*shape, 3), np.uint8)
        alpha = None if metadata.alpha is None else np.empty(shape, np.uint8)
        for top in range(rows.start, rows.stop, step):
            for left in range(columns.start, columns.stop, step):
                own = slice(top, min(top + step, rows.stop)), slice(left, min(left + step, columns.stop))
                shown = self._painted(own, downsample, num_maps)
                target = tuple(
                    slice(place.start - edge, place.stop - edge) for place, edge in zip(own, (rows.start, columns.start), strict=True)
                )
                reduced = _reduced(shown, downsample)
                pixels[target] = reduced.pixels
                if alpha is not None:
                    alpha[target] = reduced.alpha
        return picture_to_pil(Picture(pixels, alpha, metadata.icc_profile, metadata.exif, metadata.xmp))

    def _at_full_size(self, part: Part, downsample: int) -> Part:
        """Returns the rows and columns of the whole picture that those of a level show."""
        rows, columns = (
            slice(place.start * downsample, min(place.stop * downsample, length))
            for place, length in zip(part, self.size[::-1], strict=True)
        )
        return rows, columns

    def _check_pixels(self, part: Part) -> None:
        """Checks the pixels that are decoded for rows and columns of the whole picture, before any of them are."""
        check_part_size(part, self.header, self._own_layers, self._data.length, self._max_pixels)

    def _check_open(self) -> None:
        if self._is_closed:
            raise ValueError("the reader is closed")

    def _painted(self, part: Part, downsample: int, num_maps: int) -> Picture:
        """Paints what rows and columns of a level show, at full size."""
        shown = self._at_full_size(part, downsample)
        pixels = paint_part(self._model, self._groups, self._layers, shown, num_maps, realism=self._realism)
        tint = self._tint if num_maps == len(self.header.maps) else None
        return finished_picture(pixels, self.header, self._layers, tint, self._metadata, shown)

    def sketch(self, downsample: int) -> Image.Image:
        """Returns the whole picture at 1/4 or 1/8 of its size, much sooner than a level of that size, and coarser.

        It is made of the top map by a linear map in place of the decoder (`Sketcher`), unless layers say something of the picture.

        Args:
            downsample: 4 or 8.

        Raises:
            VqcodecError: The file is damaged; `LimitExceededError` where the picture has too many pixels.
            ValueError: downsample is something else, or the reader is closed.
        """
        if downsample not in (SKETCH_SCALE, 2 * SKETCH_SCALE):
            raise ValueError(f"downsample must be {SKETCH_SCALE} or {2 * SKETCH_SCALE}, not {downsample!r}")
        own, (width, height) = self._own_layers, self.size
        if own.patches or own.avif or (own.tint and len(self.header.maps) == 1):
            level = self.level_downsamples.index(downsample)
            return self.read_region((0, 0), level, self.level_dimensions[level], max_maps=1)
        with self._lock:
            self._check_open()
            self._check_pixels((slice(0, height), slice(0, width)))
            (codes,) = self._groups.codes((slice(0, whole_patches(height)), slice(0, whole_patches(width))), 1)
            rows, columns = (slice(0, -(-length // SKETCH_SCALE)) for length in (height, width))
            metadata = self._metadata
            if metadata.alpha is not None:
                metadata = replace(metadata, alpha=np.asarray(Image.fromarray(metadata.alpha).reduce(SKETCH_SCALE)))
            pixels = load_sketcher(self._model).paint(codes)[rows, columns]
            picture = finished_picture(pixels, self.header, self._layers, None, metadata, (rows, columns))
        image = picture_to_pil(picture)
        return image if downsample == SKETCH_SCALE else _halved(image)

    def thumbnail(self, size: tuple[int, int]) -> Image.Image:
        """Returns the picture in the largest size that fits into a width and height, but no larger than it is.

        The level that is painted for it is the smallest that is as large.

        Raises:
            VqcodecError: The file is damaged; `LimitExceededError` where the picture has too many pixels.
            TypeError, ValueError: The size is no two whole numbers of at least 1, or the reader is closed.
        """
        width, height = checked_size(size)
        scale = min(1.0, width / self.size[0], height / self.size[1])
        wanted = max(1, round(self.size[0] * scale)), max(1, round(self.size[1] * scale))
        fitting = [level for level, sides in enumerate(self.level_dimensions) if sides[0] >= wanted[0] and sides[1] >= wanted[1]]
        image = self.read_region((0, 0), fitting[-1], self.level_dimensions[fitting[-1]])
        if image.size == wanted:
            return image
        resized = image.resize(wanted, Image.Resampling.LANCZOS)
        resized.info = image.info
        return resized

    def close(self) -> None:
        """Closes the reader, and the file where `vqcodec.open` opened it."""
        with self._lock:
            self._is_closed = True
            if self._owns_file:
                self._data.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        width, height = self.size
        return f"Reader({width}x{height}, {self.mode}, {self.level_count} levels)"


def _halved(image: Image.Image) -> Image.Image:
    halved = image.reduce(2)
    halved.info = image.info
    return halved


def _reduced(picture: Picture, factor: int) -> Picture:
    """Returns the means of factor x factor pixels, of fewer at the right and lower edge; colours count by their alpha."""
    if factor == 1:
        return picture
    pixels, alpha = np.asarray(picture_to_pil(replace(picture, icc_profile=None, exif=None, xmp=None)).reduce(factor)), None
    if picture.alpha is not None:
        pixels, alpha = pixels[:, :, :-1], pixels[:, :, -1]
    return Picture(pixels[:, :, 0] if pixels.shape[2:] == (1,) else pixels, alpha)
