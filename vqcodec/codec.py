"""Images <-> .vq bytes: the two directions of FORMAT.md, for one image or a batch, and what lies between them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image

from vqcodec.container import (
    CoderKind,
    ColourMode,
    Container,
    Header,
    chunks_length,
    map_size,
    read_container,
    write_container,
)
from vqcodec.errors import DesyncError, FormatError
from vqcodec.image import Picture, picture_from_any, picture_to_pil
from vqcodec.index_coding import CodedMap, MapCoding, encode_indices
from vqcodec.index_coding import decode_indices as decode_maps
from vqcodec.metadata import read_metadata, write_metadata
from vqcodec.nn.blocks import decode_in_blocks, encode_in_blocks
from vqcodec.nn.vqvae import PATCH_TOP
from vqcodec.rate_distortion import RateDistortionChoice
from vqcodec.registry import DEFAULT_MODEL, DEFAULT_QUALITY, Model, find_model, find_model_by_number, load_model, load_painter
from vqcodec.sampling import Fill, Sampler, fill_maps
from vqcodec.tiling import MAX_BATCH_PIXELS


@dataclass(frozen=True)
class EncodedFile:
    """The bytes of a .vq file and the index maps, int64 [h, w] each, that went into it."""

    data: bytes
    indices: list[NDArray[np.int64]]


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


def open_model(model: str | Path = DEFAULT_MODEL, *, device: str = "auto") -> Model:
    """Loads a model by id, or from a model folder.

    Args:
        model: id of an installed model, or a folder with `config.json` and `weights.safetensors`.
        device: "auto" (CUDA where there is one), "cpu" or "cuda".

    Raises:
        ModelError: by subclass, not installed, broken, or no such device.
    """
    return load_model(find_model(model), device)


def num_maps_for_quality(quality: int, num_maps: int) -> int:
    """How many of a model's maps `quality` in 1..100 keeps: equal shares of the scale, 100 keeps all.

    Raises:
        ValueError: quality out of range.
    """
    if not 1 <= quality <= 100:
        raise ValueError(f"quality must be in 1..100, not {quality}")
    return -(-quality * num_maps // 100)


def encode(
    image: Image | NDArray[np.uint8],
    *,
    quality: int = DEFAULT_QUALITY,
    rate_weight: float | None = None,
    model: str | Path = DEFAULT_MODEL,
    device: str = "auto",
) -> bytes:
    """Encodes one image into the bytes of a .vq file.

    Args:
        image: Pillow image, or uint8 array [H, W, 3] or [H, W].
        quality: 1..100; for now it picks the number of maps (`num_maps_for_quality`).
        rate_weight: lambda, what a bit is worth when codes are chosen (`RateDistortionChoice`), at least 0; None for the model's own.
        model: id of an installed model, or a model folder.
        device: "auto", "cpu" or "cuda".

    Raises:
        VqcodecError: an image that cannot be encoded faithfully, or a model that cannot be used.
        TypeError, ValueError: an argument that is not as described.
    """
    return encode_batch([image], quality=quality, rate_weight=rate_weight, model=model, device=device)[0]


def encode_batch(
    images: Sequence[Image | NDArray[np.uint8]],
    *,
    quality: int = DEFAULT_QUALITY,
    rate_weight: float | None = None,
    model: str | Path = DEFAULT_MODEL,
    device: str = "auto",
    batch_size: int = 8,
) -> list[bytes]:
    """Encodes images, those of equal padded size together; arguments and errors are those of `encode`."""
    pictures = [picture_from_any(image) for image in images]
    loaded = open_model(model, device=device)
    return [file.data for file in encode_pictures(pictures, loaded, quality=quality, rate_weight=rate_weight, batch_size=batch_size)]


def encode_pictures(
    pictures: Sequence[Picture],
    model: Model,
    *,
    quality: int,
    rate_weight: float | None = None,
    coder: CoderKind | None = None,
    batch_size: int = 8,
) -> list[EncodedFile]:
    """Encodes pictures, those of equal padded size together.

    Args:
        pictures: to encode.
        model: to encode by.
        quality: that of `encode`.
        rate_weight: that of `encode`.
        coder: of all maps, or None for the smallest payload of each map.
        batch_size: pictures through the network at a time.
    """
    num_maps = num_maps_for_quality(quality, model.network.config.num_maps)
    rate_weight = model.config.rate_weight(num_maps) if rate_weight is None else rate_weight
    sizes = [_padded_size(picture.pixels.shape[1], picture.pixels.shape[0]) for picture in pictures]
    encoded: dict[int, EncodedFile] = {}
    for group in _batches(sizes, batch_size):
        choose = RateDistortionChoice(map_codings(model), rate_weight, coder)
        pixels = torch.stack([_padded_pixels(pictures[number]) for number in group])
        with torch.inference_mode():
            arrays = [level.numpy() for level in encode_in_blocks(model.network, pixels, num_maps, choose=choose)]
        for row, number in enumerate(group):
            indices = [array[row] for array in arrays]
            streams = {level: of_pictures[row] for level, of_pictures in choose.streams.items()}
            encoded[number] = EncodedFile(write_file(pictures[number], indices, model, coder, streams), indices)
    return [encoded[number] for number in range(len(pictures))]


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
    decoded = decode_codes(opened, max_maps=max_maps)
    intact = [_or_raise(file) for file in decoded]
    return [picture_to_pil(picture) for picture in paint(intact, realism=realism, batch_size=batch_size)]


def decode_indices(data: bytes, *, max_maps: int | None = None, allow_truncated: bool = False) -> list[NDArray[np.int64]]:
    """The index maps of a .vq file, int64 [h, w] each, top first: no pixel is painted.

    Args and errors are those of `decode`.
    """
    return decode_file(data, max_maps=max_maps, allow_truncated=allow_truncated, device="cpu").indices


def decode_file(data: bytes, *, max_maps: int | None = None, allow_truncated: bool = False, device: str = "auto") -> DecodedFile:
    """Checks a .vq file and decodes its codes; arguments and errors are those of `decode`."""
    (decoded,) = decode_codes([open_file(data, allow_truncated=allow_truncated, device=device)], max_maps=max_maps)
    return _or_raise(decoded)


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
        ValueError: max_maps below 1.
    """
    if max_maps is not None and max_maps < 1:
        raise ValueError(f"max_maps must be at least 1, not {max_maps}")
    maps: list[list[NDArray[np.int64]]] = [[] for _ in files]
    errors: dict[int, DesyncError] = {}
    for model in {id(file.model): file.model for file in files}.values():
        for coding in map_codings(model)[:max_maps]:
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


def map_codings(model: Model) -> list[MapCoding]:
    """What codes each of a model's maps."""
    priors = [*model.priors, *[None] * len(model.static_freqs)]
    return [MapCoding(number, freqs, prior) for number, (freqs, prior) in enumerate(zip(model.static_freqs, priors, strict=False))]


def _or_raise(result: DecodedFile | DesyncError) -> DecodedFile:
    if isinstance(result, DesyncError):
        raise result
    return result


def paint(files: Sequence[DecodedFile], *, realism: float = 0.0, batch_size: int = 8) -> list[Picture]:
    """Runs the decoder network: the picture of each file, cropped to its size; `realism` is that of `decode`."""
    keys = [
        (
            decoded.file.model.config.weights_sha256,
            len(decoded.indices),
            *_padded_size(decoded.file.header.width, decoded.file.header.height),
        )
        for decoded in files
    ]
    painted: dict[int, Picture] = {}
    for group in _batches(keys, batch_size):
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
    (result,) = decode_codes([open_file(data, model=model)])
    decoded = _or_raise(result).indices
    if len(decoded) != len(indices) or not all(map(np.array_equal, decoded, indices)):
        raise DesyncError("the file decodes to other codes than were written")


def _padded_size(width: int, height: int) -> tuple[int, int]:
    return -(-width // PATCH_TOP) * PATCH_TOP, -(-height // PATCH_TOP) * PATCH_TOP


def _batches(keys: Sequence[tuple[object, ...]], batch_size: int) -> Iterator[list[int]]:
    """Numbers of items with equal keys, whose last part is a size in pixels, at most `batch_size` and `MAX_BATCH_PIXELS` together."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for number, key in enumerate(keys):
        groups.setdefault(key, []).append(number)
    for key, numbers in groups.items():
        width, height = key[-2:]
        assert isinstance(width, int) and isinstance(height, int)
        limit = max(1, min(batch_size, MAX_BATCH_PIXELS // (width * height)))
        for start in range(0, len(numbers), limit):
            yield numbers[start : start + limit]


def _padded_pixels(picture: Picture) -> torch.Tensor:
    """uint8 [3, H, W], padded by edge replication to multiples of 8."""
    height, width = picture.pixels.shape[:2]
    padded_width, padded_height = _padded_size(width, height)
    padding = ((0, padded_height - height), (0, padded_width - width), (0, 0))
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
    coded = encode_indices(indices, map_codings(model), coder=coder, streams=streams)
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


def _to_picture(pixels: NDArray[np.uint8], file: OpenedFile) -> Picture:
    cropped = pixels[: file.header.height, : file.header.width]
    if file.header.mode in (ColourMode.L, ColourMode.LA):
        cropped = (cropped.astype(np.uint16).sum(axis=2) * 2 + 3) // 6
    return Picture(cropped.astype(np.uint8), file.alpha, file.icc_profile)
