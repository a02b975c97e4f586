"""Encodes pictures into the bytes of .vq files (FORMAT.md), one or many at a time, by a loaded model."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Self, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from vqcodec.coding.maps import code_map
from vqcodec.coding.tiles import batches_by_size, check_batch_size
from vqcodec.errors import RateError, VqcodecError
from vqcodec.format.container import CoderKind, ColourMode, Container, Header, chunks_length, write_container
from vqcodec.images.metadata import write_metadata
from vqcodec.images.picture import Picture, ReadOptions
from vqcodec.models.dial import MAX_RATE_WEIGHT, OperatingPoint, Tune
from vqcodec.models.model import Model
from vqcodec.nn.autoencoder.blocks import encode_in_blocks
from vqcodec.nn.configs import whole_patches
from vqcodec.rate.choice import RateDistortionChoice
from vqcodec.rate.control import RateControl, RateOptions, largest_within

Coder = Literal["raw", "static", "prior"]
"""Names of the coders of a map."""


class EncodeOptions(RateOptions, ReadOptions, total=False):
    """The options of `Codec.encode`, which describes them."""

    coder: Coder | None
    verify: bool


def coder_kind(coder: Coder | None) -> CoderKind | None:
    """Returns the coder of a name; None stands for whichever takes the fewest bytes.

    Raises:
        ValueError: No coder has this name.
    """
    if not (coder is None or (isinstance(coder, str) and coder in get_args(Coder))):
        raise ValueError(f"coder must be one of {', '.join(get_args(Coder))}, or None for the smallest, not {coder!r}")
    return None if coder is None else CoderKind[coder.upper()]


@dataclass(frozen=True)
class EncodedFile:
    """A picture, encoded, or the reason why it cannot be.

    Attributes:
        data: bytes of the .vq file; empty where there is an error.
        indices: the index maps, int64 [h, w] each, that went into it.
        error: None where all is well.
    """

    data: bytes
    indices: list[NDArray[np.int64]] = field(default_factory=list)
    error: VqcodecError | None = None

    def or_raise(self) -> Self:
        """Returns the file itself.

        Raises:
            VqcodecError: The picture could not be encoded.
        """
        if self.error is not None:
            raise self.error
        return self


def encode_controlled(
    pictures: Sequence[Picture], model: Model, *, rate: RateControl, coder: CoderKind | None = None, batch_size: int = 8
) -> list[EncodedFile]:
    """Encodes pictures at the rate that was asked for; the other arguments are those of `encode_pictures`.

    Returns:
        One entry a picture: its file, or the error that says why it does not fit the limit.

    Raises:
        ModelError: The model has no dial for the perceptual decoder, which is asked for.
        RateError: The model has fewer maps than were asked for.
        TypeError, ValueError: batch_size is no whole number, or below 1.
    """
    check_batch_size(batch_size)
    if not rate.is_limit:
        point = rate.operating_point(model.config)
        return encode_pictures(pictures, model, point=point, coder=coder, tune=rate.tune, batch_size=batch_size)
    return [_encode_within(picture, model, rate, coder) for picture in pictures]


def _encode_within(picture: Picture, model: Model, rate: RateControl, coder: CoderKind | None) -> EncodedFile:
    """Encodes a picture within a limit."""

    def encode(point: OperatingPoint, tune: Tune = rate.tune) -> EncodedFile:
        (encoded,) = encode_pictures([picture], model, point=point, coder=coder, tune=tune)
        return encoded

    def encode_smallest() -> EncodedFile:
        tunes: tuple[Tune, ...] = ("psnr",) if rate.tune == "psnr" else (rate.tune, "psnr")
        return min((encode(OperatingPoint(1, MAX_RATE_WEIGHT), tune) for tune in tunes), key=lambda file: len(file.data))

    height, width = picture.pixels.shape[:2]
    try:
        dial = model.config.dial(rate.tune)
        return largest_within(lambda quality: encode(dial.at(quality)), rate.limit_bytes(width, height), encode_smallest, jump=dial.jump)
    except RateError as error:
        return EncodedFile(b"", error=error if rate.target_bpp is None else RateError(f"{rate.target_bpp:g} bpp: {error}"))
    except VqcodecError as error:
        return EncodedFile(b"", error=error)


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
        pictures: pictures to encode.
        model: model to encode by.
        point: number of maps and lambda.
        coder: coder of all maps, or None for the smallest payload of each map.
        tune: what bytes are spent on (`RateControl`).
        batch_size: most pictures that go through the network at a time.
    """
    sizes = [(whole_patches(picture.pixels.shape[1]), whole_patches(picture.pixels.shape[0])) for picture in pictures]
    encoded: dict[int, EncodedFile] = {}
    for group in batches_by_size(sizes, batch_size):
        pixels = torch.stack([_padded_pixels(pictures[number]) for number in group])
        weighed = pixels if tune != "psnr" else None
        choose = RateDistortionChoice(model.codings, point.rate_weight, coder, weighed, with_streams=True)
        with torch.inference_mode():
            maps = encode_in_blocks(model.network, pixels, point.num_maps, choose=choose)
        for row, number in enumerate(group):
            indices = [chosen.indices[row].numpy() for chosen in maps]
            streams = [None if chosen.streams is None else chosen.streams[row] for chosen in maps]
            encoded[number] = EncodedFile(write_file(pictures[number], indices, model, coder, streams), indices)
    return [encoded[number] for number in range(len(pictures))]


def _padded_pixels(picture: Picture) -> torch.Tensor:
    """Returns uint8 [3, H, W], padded by edge replication to multiples of 8."""
    height, width = picture.pixels.shape[:2]
    padding = ((0, whole_patches(height) - height), (0, whole_patches(width) - width), (0, 0))
    return torch.from_numpy(np.pad(picture.rgb, padding, mode="edge")).permute(2, 0, 1)


def write_file(
    picture: Picture,
    indices: Sequence[NDArray[np.int64]],
    model: Model,
    coder: CoderKind | None = None,
    streams: Sequence[Sequence[bytes] | None] = (),
) -> bytes:
    """Returns the bytes of the file of a picture's index maps.

    Args:
        picture: the picture that was encoded; its alpha plane, profile, EXIF and XMP are stored, its pixels do not matter.
        indices: its maps, int64 [h, w] each, top first.
        model: the model whose codes they are.
        coder: coder of all maps, or None for the smallest payload of each map.
        streams: for each map the streams of its tile groups, where its prior has coded it already, else None; may be shorter than maps.

    Raises:
        ModelError: `coder` is PRIOR and a map has none.
    """
    coded = []
    for number, (coding, own) in enumerate(zip(model.codings, indices, strict=False)):
        known = streams[number] if number < len(streams) else None
        coded += code_map(coding, [own], [indices[:number]], coder=coder, streams=None if known is None else [known])
    chunks = write_metadata(picture)
    height, width = picture.pixels.shape[:2]
    header = Header(
        model_number=model.config.number,
        weights_digest=model.config.weights_digest,
        width=width,
        height=height,
        mode=_colour_mode(picture),
        maps=tuple(one.entry for one in coded),
        chunks_bytes=chunks_length(chunks),
    )
    return write_container(Container(header, tuple(one.payload for one in coded), chunks))


def _colour_mode(picture: Picture) -> ColourMode:
    is_grey, has_alpha = picture.pixels.ndim == 2, picture.alpha is not None
    if is_grey:
        return ColourMode.LA if has_alpha else ColourMode.L
    return ColourMode.RGBA if has_alpha else ColourMode.RGB
