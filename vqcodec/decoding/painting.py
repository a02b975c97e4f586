"""Paints pictures from decoded codes and pastes their layers, one or many at a time."""

from collections.abc import Sequence
from typing import Unpack

import numpy as np
import torch
from numpy.typing import NDArray

from vqcodec.coding.tiles import batches_by_size
from vqcodec.decoding.files import DecodedFile, DecodeOptions, decode_files
from vqcodec.format.container import MAX_PIXELS, MAX_SIDE_PX, ColourMode, map_name, map_size
from vqcodec.images.picture import Picture
from vqcodec.models.model import Model, load_decoder
from vqcodec.nn.autoencoder.blocks import paint_in_blocks
from vqcodec.nn.configs import whole_patches


class PaintOptions(DecodeOptions, total=False):
    """The options of `Codec.decode`, which describes them."""

    realism: float
    layers: bool


def decode_pictures(
    files: Sequence[bytes],
    model: Model | None,
    device: str = "auto",
    *,
    realism: float = 0.0,
    layers: bool = True,
    batch_size: int = 8,
    **options: Unpack[DecodeOptions],
) -> list[Picture]:
    """Decodes and paints files; the arguments and errors are those of `decode_files` and `paint`."""
    if not isinstance(layers, bool):
        raise TypeError(f"layers must be True or False, not {layers!r}")
    decoded = decode_files(files, model, device, layers=layers, check=lambda file: load_decoder(file.model, realism), **options)
    return paint(decoded, realism=realism, batch_size=batch_size)


def paint(files: Sequence[DecodedFile], *, realism: float = 0.0, batch_size: int = 8) -> list[Picture]:
    """Paints the picture of each file, cropped to its size, those of equal padded size together.

    Args:
        files: files without errors.
        realism: 0 for the picture closest to the original, 1 for one that looks most like a photo, or between (`load_decoder`).
        batch_size: most pictures that go through the network at a time.

    Raises:
        ModelError: A file's model has no perceptual decoder, which is asked for.
        TypeError, ValueError: An argument is not as described.
    """
    pictures: dict[int, Picture] = {}
    open_numbers = []
    for number, decoded in enumerate(files):
        header = decoded.file.header
        if decoded.file.layers.cover(header.width, header.height):
            pictures[number] = _to_picture(np.zeros((header.height, header.width, 3), np.uint8), decoded)
        else:
            open_numbers.append(number)
    keys = [_batch_key(files[number]) for number in open_numbers]
    for group in batches_by_size(keys, batch_size):
        numbers = [open_numbers[place] for place in group]
        maps = zip(*(files[number].indices for number in numbers), strict=True)
        pixels = paint_maps(files[numbers[0]].file.model, [np.stack(indices) for indices in maps], realism=realism)
        for row, number in enumerate(numbers):
            pictures[number] = _to_picture(pixels[row], files[number])
    return [pictures[number] for number in range(len(files))]


def _batch_key(decoded: DecodedFile) -> tuple[object, ...]:
    header = decoded.file.header
    return decoded.file.model.config.weights_sha256, len(decoded.indices), whole_patches(header.width), whole_patches(header.height)


def paint_maps(model: Model, maps: Sequence[NDArray[np.int64]], *, realism: float = 0.0) -> NDArray[np.uint8]:
    """Paints uint8 [N, H, W, 3], H and W multiples of 8, from index maps [N, h, w], top first; `realism` is that of `paint`."""
    with torch.inference_mode():
        tensors = [torch.from_numpy(np.ascontiguousarray(indices)) for indices in maps]
        pixels: NDArray[np.uint8] = paint_in_blocks(model.network, tensors, load_decoder(model, realism)).numpy()
    return pixels


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


def _to_picture(pixels: NDArray[np.uint8], decoded: DecodedFile) -> Picture:
    file = decoded.file
    cropped = pixels[: file.header.height, : file.header.width]
    if file.tint is not None and len(decoded.indices) == len(file.header.maps):
        cropped = file.tint.added_to(cropped)
    cropped = file.layers.paste(cropped)
    if file.header.mode in (ColourMode.L, ColourMode.LA):
        cropped = (cropped.sum(axis=2, dtype=np.uint16) * 2 + 3) // 6
    metadata = file.metadata
    return Picture(cropped.astype(np.uint8, copy=False), metadata.alpha, metadata.icc_profile, metadata.exif, metadata.xmp)
