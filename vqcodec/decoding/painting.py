"""Paints pictures from decoded codes and pastes their layers, one or many at a time."""

from collections.abc import Sequence
from functools import partial
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from vqcodec.checks import check_at_least, check_flag, checked_list
from vqcodec.coding.groups import GroupDecoder
from vqcodec.coding.sampling import Fill
from vqcodec.coding.tiles import batches_by_size
from vqcodec.coding.tint import ColourLayer
from vqcodec.decoding.files import DecodedFile, DecodeOptions, OpenedFile, decode_files, open_file
from vqcodec.decoding.region import Region
from vqcodec.errors import lack_of_memory_told
from vqcodec.format.container import MAX_PIXELS, MAX_SIDE_PX, ColourMode, Header, Part, map_name, map_size
from vqcodec.format.limits import check_max_pixels
from vqcodec.images.layers import LayerPixels
from vqcodec.images.metadata import Metadata
from vqcodec.images.modes import grey_of
from vqcodec.images.picture import Picture
from vqcodec.models.devices import batch_limits
from vqcodec.models.model import Model
from vqcodec.models.painters import load_painter
from vqcodec.nn.autoencoder.painting import paint_in_blocks
from vqcodec.nn.configs import PATCH_TOP, whole_patches
from vqcodec.nn.progress import OnProgress, no_progress, part_of_work


class PaintOptions(DecodeOptions, total=False):
    """The options of `Codec.decode`, which describes them."""

    realism: float
    layers: bool
    region: tuple[int, int, int, int] | None


@lack_of_memory_told()
def decode_pictures(
    files: Sequence[bytes],
    model: Model | None,
    device: str = "auto",
    *,
    realism: float = 0.0,
    layers: bool = True,
    region: tuple[int, int, int, int] | None = None,
    batch_size: int | None = None,
    **options: Unpack[DecodeOptions],
) -> list[Picture]:
    """Decodes and paints files; the arguments and errors are those of `decode_files`, `paint` and `paint_region`."""
    check_flag("layers", layers)
    if batch_size is not None:
        check_at_least("batch_size", batch_size, 1)
    if region is not None:
        return _decode_regions(files, model, device, Region.of(region), realism, layers=layers, **options)
    decoded = decode_files(files, model, device, layers=layers, check=lambda file: load_painter(file.model, realism), **options)
    return paint(decoded, realism=realism, batch_size=batch_size)


def _decode_regions(
    files: Sequence[bytes],
    model: Model | None,
    device: str,
    region: Region,
    realism: float,
    *,
    layers: bool,
    max_maps: int | None = None,
    allow_truncated: bool = False,
    fill: Fill | None = None,
    seed: int = 0,
    max_pixels: int | None = None,
) -> list[Picture]:
    check_at_least("seed", seed, 0)
    if fill is not None:
        raise ValueError("fill must be None where a region is wanted")
    datas = checked_list("files", files, "the bytes of .vq files")
    check_max_pixels(max_pixels)
    read = partial(
        open_file, allow_truncated=allow_truncated, device=device, model=model, layers=layers, region=region, max_pixels=max_pixels
    )
    opened = [read(data) for data in datas]
    for file in opened:
        load_painter(file.model, realism)
    return [paint_region(file, max_maps=max_maps, realism=realism) for file in opened]


def paint(
    files: Sequence[DecodedFile], *, realism: float = 0.0, batch_size: int | None = None, on_progress: OnProgress = no_progress
) -> list[Picture]:
    """Paints the picture of each file, cropped to its size, those of equal padded size together.

    Args:
        files: files without errors.
        realism: 0 for the picture closest to the original, 1 for one that looks most like a photo, or between (`load_painter`).
        batch_size: most pictures that go through the network at a time; None for what `batch_limits` says.
        on_progress: function that is told how far the work is.

    Raises:
        ModelError: A file's model has no perceptual decoder, which is asked for.
        TypeError, ValueError: An argument is not as described.
    """
    if batch_size is not None:
        check_at_least("batch_size", batch_size, 1)
    pictures: dict[int, Picture] = {}
    open_numbers = []
    for number, decoded in enumerate(files):
        header = decoded.file.header
        if decoded.file.layers.cover(header.width, header.height):
            pictures[number] = _finished(np.zeros((header.height, header.width, 3), np.uint8), decoded)
        else:
            open_numbers.append(number)
    keys = [_batch_key(files[number]) for number in open_numbers]
    device = files[open_numbers[0]].file.model.device if open_numbers else "cpu"
    for group in batches_by_size(keys, *batch_limits(device, batch_size)):
        numbers = [open_numbers[place] for place in group]
        maps = zip(*(files[number].indices for number in numbers), strict=True)
        sides = [(files[number].file.header.height, files[number].file.header.width) for number in numbers]
        shape = max(height for height, _ in sides), max(width for _, width in sides)
        model, stacked = files[numbers[0]].file.model, [np.stack(indices) for indices in maps]
        told = part_of_work(on_progress, len(pictures) / len(files), len(numbers) / len(files))
        pixels = paint_maps(model, stacked, shape, realism=realism, on_progress=told)
        for own, (height, width), number in zip(pixels, sides, numbers, strict=True):
            pictures[number] = _finished(own[:height, :width], files[number])
    return [pictures[number] for number in range(len(files))]


def _finished(pixels: NDArray[np.uint8], decoded: DecodedFile) -> Picture:
    file = decoded.file
    tint = file.tint if len(decoded.indices) == len(file.header.maps) else None
    return finished_picture(pixels, file.header, file.layers, tint, file.metadata)


def paint_region(file: OpenedFile, *, max_maps: int | None = None, realism: float = 0.0) -> Picture:
    """Decodes and paints the part that is wanted of a file's picture, and no more of its codes than that takes.

    Args:
        file: a file that was opened for a region.
        max_maps: number of first maps to paint from; None for all.
        realism: that of `paint`.

    Raises:
        FormatError: The codes could not be decoded.
        ModelError: The file's model has no perceptual decoder, which is asked for.
        TypeError, ValueError: An argument is not as described.
    """
    if max_maps is not None:
        check_at_least("max_maps", max_maps, 1)
    header, part = file.header, file.part
    assert part is not None
    num_maps = len(file.maps[:max_maps])
    pixels = paint_part(file.model, file.groups, file.layers, part, num_maps, realism=realism)
    tint = file.tint if num_maps == len(header.maps) else None
    return finished_picture(pixels, header, file.layers, tint, file.metadata, part)


@lack_of_memory_told()
def paint_part(
    model: Model, groups: GroupDecoder, layers: LayerPixels, part: Part, num_maps: int, *, realism: float = 0.0
) -> NDArray[np.uint8]:
    """Paints rows and columns of a picture from its first maps, unless layers hide all of them.

    Args:
        model: model to paint by.
        groups: decoder of the picture's codes.
        layers: what is pasted over the pixels afterwards.
        part: rows and columns in pixels.
        num_maps: number of first maps.
        realism: that of `paint`.

    Returns:
        uint8 [H, W, 3]; zeros where the layers hide all of it, since no code is decoded then.

    Raises:
        FormatError: The codes could not be decoded.
        ModelError: The model has no perceptual decoder, which is asked for.
    """
    rows, columns = part
    shape = rows.stop - rows.start, columns.stop - columns.start
    if layers.cover(shape[1], shape[0], rows.start, columns.start):
        return np.zeros((*shape, 3), np.uint8)
    painter = load_painter(model, realism)
    margin = painter.margin_px
    seen, inner = [], []
    for place, length in zip(part, (groups.grid.height, groups.grid.width), strict=True):
        start = max(0, place.start - margin) // PATCH_TOP * PATCH_TOP
        seen.append(slice(start, whole_patches(min(length, place.stop + margin))))
        inner.append(slice(place.start - start, place.stop - start))
    codes = [indices[None] for indices in groups.codes((seen[0], seen[1]), num_maps)]
    pixels: NDArray[np.uint8] = paint_in_blocks(painter, codes, part=(inner[0], inner[1]))[0]
    return pixels


def _batch_key(decoded: DecodedFile) -> tuple[object, ...]:
    header = decoded.file.header
    return decoded.file.model.config.weights_sha256, len(decoded.indices), whole_patches(header.width), whole_patches(header.height)


@lack_of_memory_told()
def paint_maps(
    model: Model,
    maps: Sequence[NDArray[np.int64]],
    shape: tuple[int, int],
    *,
    realism: float = 0.0,
    on_progress: OnProgress = no_progress,
) -> NDArray[np.uint8]:
    """Paints uint8 [N, H, W, 3] of `shape`, H and W, from index maps [N, h, w], top first; `realism` is that of `paint`."""
    part = slice(0, shape[0]), slice(0, shape[1])
    return paint_in_blocks(load_painter(model, realism), maps, part=part, on_progress=on_progress)


def check_maps(model: Model, maps: Sequence[NDArray[np.integer]], size: tuple[int, int]) -> None:
    """Checks maps [h, w], top first, that a model is to paint a picture of `size` from, width and height in pixels.

    Raises:
        TypeError: A map holds something else than integers.
        ValueError: There are too few or too many maps, they are not those of such a picture, or hold codes that the model lacks.
    """
    width, height = size
    if max(size) > MAX_SIDE_PX or width * height > MAX_PIXELS:
        raise ValueError(f"size must have sides of at most {MAX_SIDE_PX} and at most {MAX_PIXELS} pixels, not {width}x{height}")
    if not isinstance(maps, list | tuple):
        raise TypeError(f"indices must be a list of maps [h, w], not {type(maps).__name__}")
    if not 1 <= len(maps) <= model.config.num_maps:
        raise ValueError(f"indices must be 1 to {model.config.num_maps} maps, not {len(maps)}")
    last = model.config.network.codebook_size - 1
    for number, indices in enumerate(map(np.asarray, maps)):
        name = f"map {map_name(number)}"
        if indices.dtype.kind not in "iu":
            raise TypeError(f"{name} must hold integers, not {indices.dtype}")
        if indices.shape != (expected := map_size(width, height, number)):
            raise ValueError(f"{name} of a {width}x{height} picture must be {list(expected)}, not {list(indices.shape)}")
        if indices.min() < 0 or indices.max() > last:
            raise ValueError(f"{name} must hold codes in 0..{last}, not {indices.min()}..{indices.max()}")


def finished_picture(
    pixels: NDArray[np.uint8], header: Header, layers: LayerPixels, tint: ColourLayer | None, metadata: Metadata, part: Part | None = None
) -> Picture:
    """Returns a picture, or a part of one, of what codes paint, its layers and its metadata.

    Args:
        pixels: uint8 [H, W, 3], what the codes paint; may be changed.
        header: header of the file.
        layers: what stands above or in place of what the codes paint.
        tint: offsets of colour that are added, or None.
        metadata: metadata of the file.
        part: rows and columns of the picture that `pixels` are; None for all.
    """
    rows, columns = part or (slice(0, header.height), slice(0, header.width))
    if tint is not None:
        pixels = tint.added_to(pixels, rows.start, columns.start, in_place=True)
    pixels = layers.paste(pixels, rows.start, columns.start, in_place=True)
    if header.mode in (ColourMode.L, ColourMode.LA):
        pixels = grey_of(pixels)
    alpha = None if metadata.alpha is None else metadata.alpha[rows, columns]
    return Picture(pixels, alpha, metadata.icc_profile, metadata.exif, metadata.xmp)
