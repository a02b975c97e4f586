"""The bytes of .vq files -> codes -> pictures: FORMAT.md read, for one file or a batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image

from vqcodec.checks import check_number
from vqcodec.coding.maps import CodedMap
from vqcodec.coding.maps import decode_indices as decode_maps
from vqcodec.coding.sampling import Fill, Sampler, fill_maps
from vqcodec.coding.tiles import batches_by_size
from vqcodec.errors import DesyncError, FormatError, or_raise
from vqcodec.format.container import ColourMode, Header, map_size, read_container
from vqcodec.images.metadata import read_metadata
from vqcodec.images.picture import Picture, picture_to_pil
from vqcodec.models.registry import Model, find_model_by_number, load_model, load_painter
from vqcodec.nn.autoencoder.blocks import decode_in_blocks
from vqcodec.nn.autoencoder.vqvae import whole_patches


@dataclass(frozen=True)
class OpenedFile:
    """A .vq file, checked, before its codes are decoded.

    Attributes:
        header: of the file.
        model: that the file names.
        maps: the complete maps, top first.
        alpha: uint8 [H, W], or None.
        icc_profile: or None.
        num_bytes: length of the file.
        is_truncated: maps or metadata are missing because the file ends early.
    """

    header: Header
    model: Model
    maps: list[CodedMap]
    alpha: NDArray[np.uint8] | None
    icc_profile: bytes | None
    num_bytes: int
    is_truncated: bool


@dataclass(frozen=True)
class DecodedFile:
    """A .vq file and the maps that will be painted, int64 [h, w] each, top first."""

    file: OpenedFile
    indices: list[NDArray[np.int64]]


def decode(data: bytes, *, max_maps: int | None = None, allow_truncated: bool = False, realism: float = 0.0, device: str = "auto") -> Image:
    """Decodes a .vq file into a Pillow image of mode L, LA, RGB or RGBA.

    Args:
        data: the file's bytes.
        max_maps: paint from the first maps only: a coarser image, sooner.
        allow_truncated: accept a file that was cut after its first map or later.
        realism: 0 for the picture closest to the original, 1 for one that looks most like a photo, or between (`load_painter`).
        device: "auto", "cpu" or "cuda".

    Raises:
        VqcodecError: bytes that are not an intact .vq file, or a model that is not installed or has no perceptual decoder.
        TypeError: an argument of another type than described.
        ValueError: max_maps below 1, or realism not in 0..1.
    """
    return decode_batch([data], max_maps=max_maps, allow_truncated=allow_truncated, realism=realism, device=device)[0]


def decode_batch(
    files: Sequence[bytes],
    *,
    max_maps: int | None = None,
    allow_truncated: bool = False,
    realism: float = 0.0,
    device: str = "auto",
    batch_size: int = 8,
) -> list[Image]:
    """Decodes files, those of equal padded size together; arguments and errors are those of `decode`."""
    opened = [open_file(data, allow_truncated=allow_truncated, device=device) for data in files]
    for file in opened:
        load_painter(file.model, realism)  # an unfit one is told before anything is decoded
    decoded = decode_codes(opened, max_maps=max_maps)
    intact = [or_raise(file) for file in decoded]
    return [picture_to_pil(picture) for picture in paint(intact, realism=realism, batch_size=batch_size)]


def decode_indices(data: bytes, *, max_maps: int | None = None, allow_truncated: bool = False) -> list[NDArray[np.int64]]:
    """The index maps of a .vq file, int64 [h, w] each, top first: no pixel is painted.

    Args and errors are those of `decode`.
    """
    return decode_file(data, max_maps=max_maps, allow_truncated=allow_truncated, device="cpu").indices


def decode_file(
    data: bytes, *, max_maps: int | None = None, allow_truncated: bool = False, device: str = "auto", model: Model | None = None
) -> DecodedFile:
    """Checks a .vq file and decodes its codes, by `model` or else by the one that it names; otherwise as `decode`."""
    opened = open_file(data, allow_truncated=allow_truncated, device=device, model=model)
    (decoded,) = decode_codes([opened], max_maps=max_maps)
    return or_raise(decoded)


def open_file(data: bytes, *, allow_truncated: bool = False, device: str = "auto", model: Model | None = None) -> OpenedFile:
    """Checks a .vq file and finds its model, unless one is given; arguments and errors are those of `decode`."""
    container = read_container(data, allow_truncated=allow_truncated)
    header = container.header
    if model is None:
        model = load_model(find_model_by_number(header.model_number, header.weights_digest), device)
    if len(header.maps) > len(model.static_freqs):
        raise FormatError(f"file holds {len(header.maps)} maps, model {model.config.id} has {len(model.static_freqs)}")
    alpha, icc_profile = read_metadata(container)
    maps = [CodedMap(entry, payload) for entry, payload in zip(header.maps, container.payloads, strict=False)]
    return OpenedFile(header, model, maps, alpha, icc_profile, len(data), container.is_truncated)


def decode_codes(files: Sequence[OpenedFile], *, max_maps: int | None = None) -> list[DecodedFile | DesyncError]:
    """Decodes the first `max_maps` maps of files (all by default), the files of one model together.

    Returns:
        For each file its codes, or the error that its payloads caused.

    Raises:
        TypeError, ValueError: max_maps is no whole number, or below 1.
    """
    if max_maps is not None:
        check_number("max_maps", max_maps, is_whole=True)
        if max_maps < 1:
            raise ValueError(f"max_maps must be at least 1, not {max_maps}")
    maps: list[list[NDArray[np.int64]]] = [[] for _ in files]
    errors: dict[int, DesyncError] = {}
    for model in {id(file.model): file.model for file in files}.values():
        for coding in model.codings[:max_maps]:
            level = coding.number
            group = [number for number, file in enumerate(files) if file.model is model and number not in errors and len(file.maps) > level]
            headers = [files[number].header for number in group]
            sizes = [map_size(header.width, header.height, level) for header in headers]
            results = decode_maps([files[number].maps for number in group], sizes, coding, [maps[number] for number in group])
            for number, result in zip(group, results, strict=True):
                if isinstance(result, DesyncError):
                    errors[number] = result
                else:
                    maps[number].append(result)
    return [errors.get(number) or DecodedFile(file, maps[number]) for number, file in enumerate(files)]


def fill_missing(decoded: DecodedFile, fill: Fill, *, seed: int = 0) -> DecodedFile:
    """Adds the maps that a file, or the part of it that was decoded, lacks, up to those that the model has priors of.

    Args:
        decoded: with one map or more.
        fill: "sample" draws codes from the priors, "mode" takes the most probable.
        seed: of the draws.

    Raises:
        ModelError: the model has no prior of the first missing map.
    """
    model, num_known = decoded.file.model, len(decoded.indices)
    if num_known == len(model.static_freqs):
        return decoded
    height, width = decoded.indices[0].shape
    num_maps = max(num_known + 1, len(model.priors))
    (indices,) = fill_maps(model, [decoded.indices], [(height, width)], num_maps, fill, Sampler(seed=seed))
    return DecodedFile(decoded.file, indices)


def paint(files: Sequence[DecodedFile], *, realism: float = 0.0, batch_size: int = 8) -> list[Picture]:
    """Runs the decoder network: the picture of each file, cropped to its size; `realism` is that of `decode`."""
    keys = [
        (
            decoded.file.model.config.weights_sha256,
            len(decoded.indices),
            whole_patches(decoded.file.header.width),
            whole_patches(decoded.file.header.height),
        )
        for decoded in files
    ]
    painted: dict[int, Picture] = {}
    for group in batches_by_size(keys, batch_size):
        model = files[group[0]].file.model
        num_maps = len(files[group[0]].indices)
        maps = [torch.from_numpy(np.stack([files[number].indices[level] for number in group])) for level in range(num_maps)]
        with torch.inference_mode():
            pixels = decode_in_blocks(model.network, maps, painter=load_painter(model, realism)).permute(0, 2, 3, 1).numpy()
        for row, number in enumerate(group):
            painted[number] = _to_picture(pixels[row], files[number].file)
    return [painted[number] for number in range(len(files))]


def check_indices(data: bytes, indices: Sequence[NDArray[np.int64]], *, model: Model | None = None) -> None:
    """Decodes the codes of a .vq file, by `model` or else by the one that it names, and compares them with those that it was written from.

    Raises:
        DesyncError: they differ; another `VqcodecError`: the file does not decode.
    """
    decoded = decode_file(data, model=model).indices
    if len(decoded) != len(indices) or not all(map(np.array_equal, decoded, indices)):
        raise DesyncError("the file decodes to other codes than were written")


def _to_picture(pixels: NDArray[np.uint8], file: OpenedFile) -> Picture:
    cropped = pixels[: file.header.height, : file.header.width]
    if file.header.mode in (ColourMode.L, ColourMode.LA):
        cropped = (cropped.sum(axis=2, dtype=np.uint16) * 2 + 3) // 6
    return Picture(cropped.astype(np.uint8, copy=False), file.alpha, file.icc_profile)
