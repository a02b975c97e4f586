"""Pictures -> codes -> the bytes of .vq files: FORMAT.md written, for one image or a batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image

from vqcodec.coding.maps import encode_indices
from vqcodec.coding.tiles import batches_by_size, check_batch_size
from vqcodec.errors import RateError, VqcodecError, or_raise
from vqcodec.format.container import CoderKind, ColourMode, Container, Header, chunks_length, write_container
from vqcodec.images.metadata import write_metadata
from vqcodec.images.picture import Picture, picture_from_any
from vqcodec.models.config import MAX_RATE_WEIGHT, OperatingPoint
from vqcodec.models.registry import DEFAULT_MODEL, Model, open_model
from vqcodec.nn.autoencoder.blocks import encode_in_blocks
from vqcodec.nn.autoencoder.vqvae import whole_patches
from vqcodec.rate.choice import RateDistortionChoice
from vqcodec.rate.control import RateControl, Tune, largest_within


@dataclass(frozen=True)
class EncodedFile:
    """The bytes of a .vq file and the index maps, int64 [h, w] each, that went into it."""

    data: bytes
    indices: list[NDArray[np.int64]]


def encode(
    image: Image | NDArray[np.uint8],
    *,
    quality: float | None = None,
    num_maps: int | None = None,
    rate_weight: float | None = None,
    max_bytes: int | None = None,
    target_bpp: float | None = None,
    tune: Tune = "iq",
    model: str | Path = DEFAULT_MODEL,
    device: str = "auto",
) -> bytes:
    """Encodes one image into the bytes of a .vq file.

    Args:
        image: Pillow image, or uint8 array [H, W, 3] or [H, W].
        quality: 1..100, smallest to best; `DEFAULT_QUALITY` where nothing else decides the size.
        num_maps: instead of quality, how many of the model's maps to store.
        rate_weight: lambda, about what a bit is worth when codes are chosen (`RateDistortionChoice`), instead of the dial's.
        max_bytes: instead of quality, the most that the file may have: the best quality is searched for, by at most 8 encodes.
        target_bpp: the same in bits per pixel.
        tune: "iq" for pictures that look right, "psnr" for the least squared error, "perceptual" for the decoder of realism 1
            (`RateControl`).
        model: id of an installed model, or a model folder.
        device: "auto", "cpu" or "cuda".

    Raises:
        VqcodecError: an image that cannot be encoded faithfully or not within the limit, or a model that cannot be used.
        TypeError, ValueError: an argument that is not as described.
    """
    rate = RateControl(quality, num_maps, rate_weight, max_bytes, target_bpp, tune)
    return _encode_all([image], rate, open_model(model, device=device), batch_size=1)[0]


def encode_batch(
    images: Sequence[Image | NDArray[np.uint8]],
    *,
    quality: float | None = None,
    num_maps: int | None = None,
    rate_weight: float | None = None,
    max_bytes: int | None = None,
    target_bpp: float | None = None,
    tune: Tune = "iq",
    model: str | Path = DEFAULT_MODEL,
    device: str = "auto",
    batch_size: int = 8,
) -> list[bytes]:
    """Encodes images, those of equal padded size together; arguments and errors are those of `encode`."""
    given: object = images
    if isinstance(given, Image) or (isinstance(given, np.ndarray) and given.ndim < 4):
        raise TypeError("images must be a list of images, not one")
    rate = RateControl(quality, num_maps, rate_weight, max_bytes, target_bpp, tune)
    return _encode_all(images, rate, open_model(model, device=device), batch_size=batch_size)


def _encode_all(images: Sequence[Image | NDArray[np.uint8]], rate: RateControl, model: Model, *, batch_size: int) -> list[bytes]:
    pictures = [picture_from_any(image) for image in images]
    files = encode_controlled(pictures, model, rate=rate, batch_size=batch_size)
    return [or_raise(file).data for file in files]


def encode_controlled(
    pictures: Sequence[Picture], model: Model, *, rate: RateControl, coder: CoderKind | None = None, batch_size: int = 8
) -> list[EncodedFile | VqcodecError]:
    """Encodes pictures as `rate` asks for; other arguments are those of `encode_pictures`.

    Returns:
        For each picture its file, or why there is none within the limit.

    Raises:
        RateError: the model has fewer maps than were asked for.
        ValueError: batch_size below 1.
    """
    check_batch_size(batch_size)
    if not rate.is_limit:
        point = rate.operating_point(model.config)
        return [*encode_pictures(pictures, model, point=point, coder=coder, tune=rate.tune, batch_size=batch_size)]
    return [_encode_within(picture, model, rate, coder) for picture in pictures]


def _encode_within(picture: Picture, model: Model, rate: RateControl, coder: CoderKind | None) -> EncodedFile | VqcodecError:
    def encode(point: OperatingPoint, tune: Tune = rate.tune) -> EncodedFile:
        (encoded,) = encode_pictures([picture], model, point=point, coder=coder, tune=tune)
        return encoded

    def encode_smallest() -> EncodedFile:
        tunes: tuple[Tune, ...] = ("psnr",) if rate.tune == "psnr" else (rate.tune, "psnr")
        return min((encode(OperatingPoint(1, MAX_RATE_WEIGHT), tune) for tune in tunes), key=lambda file: len(file.data))

    height, width = picture.pixels.shape[:2]
    try:
        return largest_within(
            lambda quality: encode(rate.on_dial(model.config, quality)),
            rate.limit_bytes(width, height),
            encode_smallest,
            jump=rate.jump(model.config),
        )
    except RateError as error:
        return error if rate.target_bpp is None else RateError(f"{rate.target_bpp:g} bpp: {error}")
    except VqcodecError as error:
        return error


def encode_pictures(
    pictures: Sequence[Picture],
    model: Model,
    *,
    point: OperatingPoint,
    coder: CoderKind | None = None,
    tune: Tune = "iq",
    batch_size: int = 8,
) -> list[EncodedFile]:
    """Encodes pictures at one operating point, those of equal padded size together.

    Args:
        pictures: to encode.
        model: to encode by.
        point: maps and lambda.
        coder: of all maps, or None for the smallest payload of each map.
        tune: what bytes are spent for (`RateControl`).
        batch_size: pictures through the network at a time.
    """
    sizes = [(whole_patches(picture.pixels.shape[1]), whole_patches(picture.pixels.shape[0])) for picture in pictures]
    encoded: dict[int, EncodedFile] = {}
    for group in batches_by_size(sizes, batch_size):
        pixels = torch.stack([_padded_pixels(pictures[number]) for number in group])
        choose = RateDistortionChoice(model.codings, point.rate_weight, coder, pixels if tune != "psnr" else None)
        with torch.inference_mode():
            arrays = [level.numpy() for level in encode_in_blocks(model.network, pixels, point.num_maps, choose=choose)]
        for row, number in enumerate(group):
            indices = [array[row] for array in arrays]
            streams = {level: of_pictures[row] for level, of_pictures in choose.streams.items()}
            encoded[number] = EncodedFile(write_file(pictures[number], indices, model, coder, streams), indices)
    return [encoded[number] for number in range(len(pictures))]


def _padded_pixels(picture: Picture) -> torch.Tensor:
    """uint8 [3, H, W], padded by edge replication to multiples of 8."""
    height, width = picture.pixels.shape[:2]
    padding = ((0, whole_patches(height) - height), (0, whole_patches(width) - width), (0, 0))
    return torch.from_numpy(np.pad(picture.rgb, padding, mode="edge")).permute(2, 0, 1)


def write_file(
    picture: Picture,
    indices: list[NDArray[np.int64]],
    model: Model,
    coder: CoderKind | None = None,
    streams: Mapping[int, Sequence[bytes]] | None = None,
) -> bytes:
    """The file of a picture's index maps; the pixels themselves do not matter, alpha and profile do.

    Args:
        picture: that was encoded.
        indices: its maps.
        model: whose codes they are.
        coder: as in `encode_pictures`.
        streams: as in `encode_indices`.
    """
    coded = encode_indices(indices, model.codings, coder=coder, streams=streams)
    chunks = write_metadata(picture)
    height, width = picture.pixels.shape[:2]
    header = Header(
        model_number=model.config.number,
        weights_digest=model.config.weights_digest,
        width=width,
        height=height,
        mode=_colour_mode(picture),
        maps=tuple(level.entry for level in coded),
        chunks_bytes=chunks_length(chunks),
    )
    return write_container(Container(header, tuple(level.payload for level in coded), chunks))


def _colour_mode(picture: Picture) -> ColourMode:
    is_grey, has_alpha = picture.pixels.ndim == 2, picture.alpha is not None
    if is_grey:
        return ColourMode.LA if has_alpha else ColourMode.L
    return ColourMode.RGBA if has_alpha else ColourMode.RGB
