"""Opens .vq files (FORMAT.md) and decodes their codes, one or many at a time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self, TypedDict, get_args

import numpy as np
from numpy.typing import NDArray

from vqcodec.checks import check_at_least, checked_list
from vqcodec.coding.groups import GroupDecoder, GroupGrid, WholeMap, check_groups
from vqcodec.coding.maps import CodedMap, decode_map
from vqcodec.coding.sampling import Fill, Sampler, fill_maps
from vqcodec.coding.tint import ColourLayer, read_colour_layer
from vqcodec.decoding.region import Region
from vqcodec.errors import DesyncError, FormatError, VqcodecError, WeightsMismatchError, lack_of_memory_told
from vqcodec.format.container import MAX_PIXELS, Header, Part, map_size, read_container
from vqcodec.format.groups import GroupSums, read_sums
from vqcodec.format.layers import NO_LAYERS, read_layers
from vqcodec.format.limits import check_max_pixels, check_part_size
from vqcodec.images.layers import LayerPixels, decode_layers
from vqcodec.images.metadata import Metadata, read_metadata
from vqcodec.models.model import Made, Model, load_model
from vqcodec.models.registry import find_model_by_number
from vqcodec.nn.progress import OnProgress, no_progress, part_of_work


class DecodeOptions(TypedDict, total=False):
    """The options of `Codec.decode_indices`, which describes them."""

    max_maps: int | None
    allow_truncated: bool
    fill: Fill | None
    seed: int
    max_pixels: int | None


@dataclass(frozen=True)
class OpenedFile:
    """A .vq file, checked, before its codes are decoded.

    Attributes:
        header: header of the file.
        model: model that the file names.
        maps: complete maps of the file, top first.
        layers: what stands above or in place of what the codes paint.
        tint: offsets of colour that are added to what all maps paint, or None.
        metadata: alpha plane, colour profile, EXIF and XMP.
        num_bytes: length of the file.
        is_truncated: whether maps or metadata are missing because the file ends early.
        part: rows and columns that are wanted of the picture, or None for all; other pixels of layers may be missing.
        sums: checksums of the tile groups of maps, where the file tells them.
    """

    header: Header
    model: Model
    maps: list[CodedMap]
    layers: LayerPixels
    tint: ColourLayer | None
    metadata: Metadata
    num_bytes: int
    is_truncated: bool
    part: Part | None = None
    sums: Mapping[int, Sequence[GroupSums]] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture in pixels."""
        return self.header.width, self.header.height

    @cached_property
    def groups(self) -> GroupDecoder:
        """What decodes the codes of parts of the picture, and keeps them."""
        return GroupDecoder(self.model.codings, Made(len(self.maps), self.whole_map), GroupGrid(*self.size))

    def whole_map(self, number: int) -> WholeMap:
        """Returns a map with the means to code it."""
        return WholeMap(self.model.codings[number], self.maps[number], map_size(*self.size, number), self.sums.get(number, ()))


@dataclass(frozen=True)
class DecodedFile:
    """A .vq file and its decoded maps, or the reason why they cannot be decoded.

    Attributes:
        file: file that was decoded.
        indices: maps that will be painted, int64 [h, w] each, top first; where there is an error, those before the damaged one.
        error: None where all is well.
    """

    file: OpenedFile
    indices: list[NDArray[np.int64]]
    error: VqcodecError | None = None

    def or_raise(self) -> Self:
        """Returns the file itself.

        Raises:
            VqcodecError: The codes could not be decoded.
        """
        if self.error is not None:
            raise self.error
        return self


def open_file(
    data: bytes,
    *,
    allow_truncated: bool = False,
    device: str = "auto",
    model: Model | None = None,
    layers: bool = True,
    region: Region | None = None,
    max_pixels: int | None = None,
) -> OpenedFile:
    """Checks a .vq file and finds its model.

    Args:
        data: bytes of the file.
        allow_truncated: whether a file is accepted that was cut after its first map or later.
        device: device for the model, "auto", "cpu" or "cuda".
        model: model to decode by; None for the installed one that the file names.
        layers: whether the pixels of layers are decoded; where they are not, the file is as one without layers.
        region: what is wanted of the picture; None for all.
        max_pixels: most pixels of what is decoded (`check_part_size`): of the region, of all exact patches together that it overlaps,
            or of the whole picture where an alpha plane or an AVIF picture is decoded as a whole; None for those of the format.

    Raises:
        FormatError: The bytes are not an intact .vq file; `LimitExceededError` where there are too many pixels.
        RegionError: The region does not lie within the picture.
        ModelError: The file's model is not installed, or is not `model`.
        TypeError: data is no bytes.
    """
    container = read_container(data, allow_truncated=allow_truncated)
    header, num_bytes = container.header, memoryview(data).nbytes
    size = header.width, header.height
    part = None if region is None else region.within(*size)
    whole = slice(0, header.height), slice(0, header.width)
    found, sums = read_layers(container.layers, *size), read_sums(container.layers, header)
    own = found if layers else NO_LAYERS
    check_part_size(whole if part is None else part, header, own, num_bytes, max_pixels)
    model = model_of(header, model, device)
    maps = [CodedMap(entry, payload) for entry, payload in zip(header.maps, container.payloads, strict=False)]
    tint = None if own.tint is None else read_colour_layer(own.tint, *size)
    shown = decode_layers(own if part is None else own.within(part), *size)
    return OpenedFile(header, model, maps, shown, tint, read_metadata(container), num_bytes, container.is_truncated, part, sums)


def model_of(header: Header, model: Model | None, device: str) -> Model:
    """Returns the model of a file: the installed one that its header names, or `model`, which must be that one.

    Raises:
        ModelError: The file's model is not installed, or is not `model`.
        FormatError: The file holds more maps than the model has.
    """
    if model is None:
        model = load_model(find_model_by_number(header.model_number, header.weights_digest), device)
    config = model.config
    if (config.number, config.weights_digest) != (header.model_number, header.weights_digest):
        raise WeightsMismatchError(
            f"file was written by model number {header.model_number} (weights {header.weights_digest.hex()}), "
            f"expected {config.id}, number {config.number} (weights {config.weights_digest.hex()})"
        )
    if len(header.maps) > config.num_maps:
        raise FormatError(f"file holds {len(header.maps)} maps, model {config.id} has {config.num_maps}")
    return model


def decode_codes(files: Sequence[OpenedFile], *, max_maps: int | None = None, on_progress: OnProgress = no_progress) -> list[DecodedFile]:
    """Decodes the first `max_maps` maps of files (all by default), the files of one model together.

    `on_progress` is told how far the work is.

    Raises:
        TypeError, ValueError: max_maps is no whole number, or below 1.
    """
    if max_maps is not None:
        check_at_least("max_maps", max_maps, 1)
    maps: list[list[NDArray[np.int64]]] = [[] for _ in files]
    errors: dict[int, FormatError] = {}
    models = {id(file.model): file.model for file in files}.values()
    most = {id(model): max(len(file.maps[:max_maps]) for file in files if file.model is model) for model in models}
    present = [(model, coding) for model in models for coding in model.codings[: most[id(model)]]]
    for step, (model, coding) in enumerate(present):
        level = coding.number
        group = [number for number, file in enumerate(files) if file.model is model and number not in errors and len(file.maps) > level]
        sizes = [map_size(*files[number].size, level) for number in group]
        coded, earlier = [files[number].maps[level] for number in group], [maps[number] for number in group]
        told = part_of_work(on_progress, step / len(present), 1 / len(present))
        results = decode_map(coding, coded, sizes, earlier, on_progress=told)
        for number, result in zip(group, results, strict=True):
            error = result.error or _group_error(files[number], level, result.indices)
            if error is None:
                maps[number].append(result.indices)
            else:
                errors[number] = error
    return [DecodedFile(file, maps[number], errors.get(number)) for number, file in enumerate(files)]


def _group_error(file: OpenedFile, level: int, indices: NDArray[np.int64]) -> FormatError | None:
    """Returns what is wrong by the checksums of a decoded map's tile groups, if the file tells them."""
    try:
        check_groups(file.whole_map(level), GroupGrid(*file.size), indices)
    except FormatError as error:
        return error
    return None


def decode_file(
    data: bytes,
    *,
    max_maps: int | None = None,
    device: str = "auto",
    model: Model | None = None,
    max_pixels: int | None = None,
) -> DecodedFile:
    """Checks a .vq file and decodes its codes; the arguments are those of `open_file` and `decode_codes`.

    Raises:
        VqcodecError: The bytes are not an intact .vq file, or its model cannot be used.
        TypeError, ValueError: An argument is not as described.
    """
    opened = open_file(data, device=device, model=model, max_pixels=max_pixels)
    (decoded,) = decode_codes([opened], max_maps=max_maps)
    return decoded.or_raise()


@lack_of_memory_told()
def decode_files(
    files: Sequence[bytes],
    model: Model | None,
    device: str = "auto",
    *,
    max_maps: int | None = None,
    allow_truncated: bool = False,
    fill: Fill | None = None,
    seed: int = 0,
    max_pixels: int | None = None,
    layers: bool = False,
    check: Callable[[OpenedFile], object] = lambda _: None,
) -> list[DecodedFile]:
    """Checks .vq files and decodes their codes, those of one model together.

    Args:
        files: bytes of each file.
        model: model to decode by; None for the installed one that each file names.
        device: device for models that are not given, "auto", "cpu" or "cuda".
        max_maps: number of first maps to decode; None for all.
        allow_truncated: whether files are accepted that were cut after their first map or later.
        fill: "sample" or "mode" to fill in the maps that are missing (`fill_missing`); None to leave them out.
        seed: seed of these draws.
        max_pixels: most pixels of a file (`open_file`).
        layers: whether the pixels of layers are decoded, too.
        check: function that raises an error for a file that cannot be used, before anything is decoded.

    Raises:
        VqcodecError: A file is not intact, or its model cannot be used.
        TypeError, ValueError: An argument is not as described.
    """
    check_at_least("seed", seed, 0)
    if not (fill is None or (isinstance(fill, str) and fill in get_args(Fill))):
        raise ValueError(f"fill must be 'sample', 'mode' or None, not {fill!r}")
    datas = checked_list("files", files, "the bytes of .vq files")
    check_max_pixels(max_pixels)
    opened = [
        open_file(data, allow_truncated=allow_truncated, device=device, model=model, layers=layers, max_pixels=max_pixels) for data in datas
    ]
    for file in opened:
        check(file)
    decoded = decode_codes(opened, max_maps=max_maps)
    if fill is not None:
        decoded = [fill_missing(file, fill, seed=seed) for file in decoded]
    return [file.or_raise() for file in decoded]


def fill_missing(decoded: DecodedFile, fill: Fill, *, seed: int = 0) -> DecodedFile:
    """Adds the maps that a file, or the part of it that was decoded, lacks, up to those that the model has priors of.

    Args:
        decoded: a file with one map or more; one with an error stays as it is.
        fill: "sample" draws codes from the priors, "mode" takes the most probable.
        seed: seed of the draws.

    Returns:
        The file with more maps, without its colour layer, which is meant for its own maps alone; or with an error where the model has no
        prior of the first missing map.
    """
    model, num_known = decoded.file.model, len(decoded.indices)
    if decoded.error is not None or num_known == model.config.num_maps:
        return decoded
    height, width = decoded.indices[0].shape
    num_maps = max(num_known + 1, len(model.config.priors))
    try:
        (indices,) = fill_maps(model.codings, [decoded.indices], [(height, width)], num_maps, fill, Sampler(seed=seed))
    except VqcodecError as error:
        return replace(decoded, error=error)
    return replace(decoded, file=replace(decoded.file, tint=None), indices=indices)


def check_indices(data: bytes, indices: Sequence[NDArray[np.int64]], *, model: Model | None = None) -> None:
    """Decodes the codes of a .vq file and compares them with those that it was written from.

    Args:
        data: bytes of the file.
        indices: maps that it was written from, int64 [h, w] each.
        model: model to decode by; None for the installed one that the file names.

    Raises:
        DesyncError: They differ.
        VqcodecError: The file does not decode.
    """
    decoded = decode_file(data, model=model, max_pixels=MAX_PIXELS).indices
    if len(decoded) != len(indices) or not all(map(np.array_equal, decoded, indices)):
        raise DesyncError("the file decodes to other codes than were written")
